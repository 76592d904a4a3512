# SPDX-License-Identifier: Apache-2.0
"""A certificate authority and the certificates that it signs, made with the openssl program."""
import glob
import os
import ssl
import subprocess


def openssl(*args, clock=None):
    """clock: days that its clock is off, for certificates of the past."""
    env = dict(os.environ)
    if clock:
        env['LD_PRELOAD'], = glob.glob('/usr/lib/*/faketime/libfaketime.so.1')
        env['FAKETIME'] = '%dd' % clock
    subprocess.run(['openssl', *[str(a) for a in args]], check=True, capture_output=True, env=env)


class Authority:
    def __init__(self, directory):
        self.dir = directory
        self.cert, self.key = directory / 'ca.pem', directory / 'ca.key'
        openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '3',
                '-subj', '/CN=test authority', '-keyout', self.key, '-out', self.cert)

    def issue(self, name, alternative, clock=None):
        """A new pair: the files of certificate and key."""
        key, request, cert, extra = (self.dir / ('%s.%s' % (name, ext)) for ext in ('key', 'csr', 'pem', 'ext'))
        extra.write_text('subjectAltName=%s\n' % alternative, encoding='ascii')
        openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=' + name,
                '-keyout', key, '-out', request)
        openssl('x509', '-req', '-in', request, '-CA', self.cert, '-CAkey', self.key, '-CAcreateserial', '-days', '3',
                '-extfile', extra, '-out', cert, clock=clock)
        return cert, key

    def server(self, name, alternative, clock=None):
        """A server's context with a new certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name, alternative, clock))
        return context

    def client(self, version=None):
        """A client's context that trusts this authority alone."""
        context = ssl.create_default_context(cafile=str(self.cert))
        if version:
            context.minimum_version = context.maximum_version = version
        return context
