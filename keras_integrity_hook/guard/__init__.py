# SPDX-License-Identifier: Apache-2.0
"""What happens in a save and in a load: two numbered pipelines and their parts."""
