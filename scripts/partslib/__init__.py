# SPDX-License-Identifier: BSD-2-Clause
"""What scripts/parts is made of: one module per subject."""
