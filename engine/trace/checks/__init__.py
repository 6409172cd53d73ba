"""The four gates that a trace from a stranger passes before any of its values is used.

1. files: their names and sizes, before any is opened. No links, no devices, no name that leads out
   of the trace, no archive entry that unpacks to more than it takes.
2. metadata: the JSON files, read within bounds, before any memory is reserved. Only arrays, types,
   codecs and chunk grids that this project writes, no chunk missing, and the copy of the metadata
   that other programs read is one. `arrays` checks one
   array's claims, `json_files` bounds the reading.
3. chunks: each file as it is read, before it is unpacked. It must have the digest that was written
   with it, and a compressed chunk must unpack to the size that its array claims.
4. values: coordinates and attributes, read completely because they are small, before a page relies
   on them. Roles, sites and positions are those of a trace, and fit together. Arrays are held to
   the ranges of `ranges` when they are read, and a `sample` of them when the trace is opened.

Each gate raises `TraceError` in one line that names what is wrong. Codecs may still fail on what
passes: `unreadable` lists the errors that then mean "not a readable trace".
"""
