"""One suite, two hosts: the stand-in, and a real WebUI when WEBUI_DIR names one."""
