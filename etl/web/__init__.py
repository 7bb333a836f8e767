"""The pages for people without SQL, as a plugin of Datasette: what each of its hooks does.

``app`` builds Datasette with this plugin, ``pages`` answers requests, ``queries`` are the files of
``sql/pages`` as canned queries, ``visitors`` knows who may see what. The hooks do nothing for a
Datasette that ``app`` has not built.
"""
