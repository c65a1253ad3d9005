"""What a release must show before anybody gets it: `make release` and `make proof`.

Not shipped. Files, in reading order: `lines` (steps one after the other, and the table at their end);
`proof` runs what README claims; `rehearsal` makes and tries a release with `building`, `sboms`,
`licences`, `index`, `installing` and `smoke`, which is the program that each environment runs.
Nothing leaves this machine: a release is published by `.github/workflows/release.yml` alone.
"""
