{
  "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
  "verificationMaterial": {
    "publicKey": {
      "hint": "9417cc90b3e1f2f8540d0d2ae422eb80e9a39f9246e684e35174131e71d49687"
    },
    "tlogEntries": []
  },
  "dsseEnvelope": {
    "payload": "ewogICJfdHlwZSI6ICJodHRwczovL2luLXRvdG8uaW8vU3RhdGVtZW50L3YxIiwKICAic3ViamVjdCI6IFsKICAgIHsKICAgICAgIm5hbWUiOiAiZGV0YWNoZWQua2VyYXMiLAogICAgICAiZGlnZXN0IjogewogICAgICAgICJzaGEyNTYiOiAiNDhhMWRkYzcwNzQ4ZDA3ZGEyMWZiZTIwYWZjZWFlMTJlNzBkMjhmMmFmNTVmNWExOWI5ODJhZjc1YmY4NjVhZiIKICAgICAgfQogICAgfQogIF0sCiAgInByZWRpY2F0ZVR5cGUiOiAiaHR0cHM6Ly9tb2RlbF9zaWduaW5nL3NpZ25hdHVyZS92MS4wIiwKICAicHJlZGljYXRlIjogewogICAgInNlcmlhbGl6YXRpb24iOiB7CiAgICAgICJtZXRob2QiOiAiZmlsZXMiLAogICAgICAiaGFzaF90eXBlIjogInNoYTI1NiIsCiAgICAgICJhbGxvd19zeW1saW5rcyI6IGZhbHNlCiAgICB9LAogICAgInJlc291cmNlcyI6IFsKICAgICAgewogICAgICAgICJuYW1lIjogIi4iLAogICAgICAgICJhbGdvcml0aG0iOiAic2hhMjU2IiwKICAgICAgICAiZGlnZXN0IjogImQxNGVlNjczZGE0NjlkMDM5MjhkMjgyZDNiZTFmM2E3NTFmNTlmMjBkMzIyOTM4ZTMxYzZmZWMyMGVhYzM4MGMiCiAgICAgIH0KICAgIF0KICB9Cn0=",
    "payloadType": "application/vnd.in-toto+json",
    "signatures": [
      {
        "sig": "MEUCIQDR84MQvE3103LZFhQcLPB/8UpBzLhgMUS6BASLky8p7gIgB6OmgKW/YSMjaCqehp5MTaqdaO9YYk51qO/cikd6dH8=",
        "keyid": ""
      }
    ]
  }
}
