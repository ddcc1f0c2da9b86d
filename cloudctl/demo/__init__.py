"""The demo: the platform's main job from end to end, through its command line, on this machine."""
