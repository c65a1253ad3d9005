"""What a relay passes on to VWO beside the queue: no event of a visitor is among it.

Files, in reading order: `settings_files` (the settings that SDKs fetch), `gateway` (what they ask VWO's
gateway) and `diagnostics` (the SDKs' reports on themselves).

If the process dies, SDKs ask again, and reports that wait are lost.
"""
