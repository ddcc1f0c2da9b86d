"""What the platform is measured by: ours and a reference, side by side, in one run on one machine."""
