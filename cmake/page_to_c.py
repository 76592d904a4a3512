"""Writes the files of the status page as C arrays. Usage: page_to_c.py DIRECTORY OUT.c"""
import pathlib
import sys

TYPES = {'.html': 'text/html; charset=utf-8', '.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8'}
root, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
files = sorted(root.iterdir())
lines = ['#include "admin/admin_priv.h"', '']
for number, path in enumerate(files):
    lines.append('static const char file%d[] = {' % number)
    data = path.read_bytes()
    for at in range(0, len(data), 24):
        lines.append('\t' + ', '.join('%d' % (byte if byte < 128 else byte - 256) for byte in data[at:at + 24]) + ',')
    lines += ['};', '']
lines.append('const struct ph_page_file ph_page_files[] = {')
for number, path in enumerate(files):
    address = '/' if path.name == 'index.html' else '/' + path.name
    lines.append('\t{"%s", "%s", file%d, sizeof file%d},' % (address, TYPES[path.suffix], number, number))
lines += ['};', 'const size_t ph_page_file_count = %d;' % len(files), '']
out.write_text('\n'.join(lines), encoding='utf-8')
