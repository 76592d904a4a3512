#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Global symbols that nobody needs: what only its own file uses should be static, what nobody uses should go, and what
a header declares must exist somewhere. Textual, so that it needs no build; a use in a test counts."""
import re

import source

NAME = re.compile(r'\bph_\w+')
# At the outer level: the name in front of a parameter list or an initialiser, and all that stands before it.
DEFINITION = re.compile(r'(?P<before>(?:^|[;}])[^;{}()#=]*?)\b(?P<name>ph_\w+)\s*(?P<what>\(|(?:\[[^\]]*\])*\s*=)')
DECLARATION = re.compile(r'(?:^|[;}])(?P<before>[^;{}()=]*?)\b(?P<name>ph_\w+)\s*\(')


def outer(text):
    """The text at brace level 0: bodies become "{}"; preprocessor lines go, with their continuations."""
    text = re.sub(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', '', text, flags=re.MULTILINE)
    out, depth = [], 0
    for c in text:
        if c == '}':
            depth = max(0, depth - 1)
        if depth == 0:
            out.append(c)
        if c == '{':
            depth += 1
    return ''.join(out)


def behind_parentheses(text, start):
    """What follows the parenthesis that opens at start."""
    depth = 0
    for i in range(start, len(text)):
        depth += {'(': 1, ')': -1}.get(text[i], 0)
        if depth == 0:
            return text[i + 1:].lstrip()
    return ''


def definitions(text):
    """Global functions and objects that a .c file defines."""
    flat = outer(text)
    for match in DEFINITION.finditer(flat):
        if re.search(r'\b(static|typedef|extern)\b', match.group('before')):
            continue
        if match.group('what') != '(' or behind_parentheses(flat, match.end() - 1).startswith('{'):
            yield match.group('name')


def declarations(text):
    """(name, inline) of functions that a header declares or defines."""
    flat = outer(text)
    for match in DECLARATION.finditer(flat):
        if 'typedef' not in match.group('before') and match.group('before').strip():
            yield match.group('name'), 'static' in match.group('before')


def check(root):
    texts = {p: source.code(source.read(root / p)) for p in source.files(root, '.c', '.h', under=('src', 'include', 'tests'))}
    names = {p: set(NAME.findall(t)) for p, t in texts.items()}
    headers = [p for p in texts if p.suffix == '.h' and p.parts[0] in ('src', 'include')]
    defined = {}
    for path, text in texts.items():
        if path.suffix == '.c' and path.parts[0] == 'src':
            for name in definitions(text):
                defined.setdefault(name, path)
    problems = []
    for name, path in sorted(defined.items()):
        if not any(name in names[p] for p in texts if p != path and p not in headers):
            # A macro or an inline function of a header may be what uses it.
            uses = sum(len(re.findall(r'\b%s\b' % name, texts[h])) for h in headers)
            if uses < 2:
                problems.append('%s: no other file uses %s' % (path, name))
    for header in headers:
        for name, inline in declarations(texts[header]):
            if inline:
                own = len(re.findall(r'\b%s\b' % name, texts[header]))
                if own < 2 and not any(name in names[p] for p in texts if p != header):
                    problems.append('%s: nobody uses %s' % (header, name))
            elif name not in defined:
                problems.append('%s: nothing defines %s' % (header, name))
    return problems


def test():
    good = {
        'include/posthouse/a.h': 'int ph_a(int (*f)(void *), int n) __attribute__((format(printf, 1, 2)));\n'
                                 'extern const char ph_text[3];\nint ph_m(void);\n#define M ph_m()\n'
                                 'static inline int ph_i(void)\n{\n\treturn 1;\n}\nstruct ph_s { int (*ph_f)(void); };\n',
        'src/x/a.c': '#define X(a) \\\n\tint ph_macro(void) { }\nconst char ph_text[3] = "ab";\n'
                     'int ph_a(int (*f)(void *), int n)\n{\n\treturn ph_b(n);\n}\nstatic int ph_own(void)\n{\n}\n'
                     'int ph_m(void)\n{\n}\n',
        'src/y/b.c': 'int main(void)\n{\n\treturn ph_a(0, 1) + ph_text[0] + ph_i();\n}\n',
    }
    return source.self_test(check, good, [
        ('no other file uses ph_new', {'src/x/c.c': 'struct ph_s *ph_new(void)\n{\n\treturn ph_new();\n}\n'}),
        ('no other file uses ph_table', {'src/x/c.c': 'const int ph_table[] = { 1 };\n'}),
        ('no other file uses ph_only', {'include/posthouse/c.h': 'int ph_only(void);\n',
                                        'src/x/c.c': 'int ph_only(void)\n{\n}\n'}),
        ('nothing defines ph_gone', {'include/posthouse/c.h': 'struct ph_s *ph_gone(int a);\n'}),
        ('nobody uses ph_idle', {'include/posthouse/c.h': 'static inline int ph_idle(void)\n{\n}\n'}),
    ])


if __name__ == '__main__':
    source.main(check, test)
