"""What the extension uses of the WebUI (1.10.1), in types: the written host contract.

Only what is used is declared. `lib_lyco.host` is the one place that imports these, and its probe
checks at start that the running WebUI has them.
"""
