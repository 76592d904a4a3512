"""Writes the SQL files as one C array, sorted by path: { "0001_first.sql", "text" }, ... { NULL, NULL }. admin/ comes last: a
view needs the functions that it calls, a function needs nothing until it is called."""
import pathlib
import sys

root, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
lines = ['#include <stddef.h>', '#include "pg/pg_priv.h"', '', 'const struct ph_sql_file ph_sql_files[] = {']
for path in sorted(root.rglob('*.sql'), key=lambda each: (each.parent.name == 'admin', each)):
    lines.append('\t{ "%s",' % path.relative_to(root).as_posix())
    for line in path.read_text(encoding='utf-8').splitlines(keepends=True):
        text = line.replace('\\', '\\\\').replace('"', '\\"').replace('\t', '\\t').replace('?', '\\?')
        lines.append('\t  "%s\\n"' % text.rstrip('\n'))
    lines.append('\t},')
lines += ['\t{ NULL, NULL },', '};', '']
out.write_text('\n'.join(lines), encoding='utf-8')
