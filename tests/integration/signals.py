# SPDX-License-Identifier: Apache-2.0
"""What an upstream can do to a turn, as data: how the fake upstream is made to do it, and what must follow.

Two tables. SIGNALS: what an upstream says of itself, of an account or of the request (each as an HTTP status, as an event
before anything was shown, and as an event after the first output). FAULTS: what breaks without a word, at every point of
an answer. causes() multiplies them out; test_matrix.py plays each for every pair of account kinds.

Not here: the WebSocket's shapes, tokens that are renewed, and what several faults in a row do.
"""
import dataclasses
import time
import typing

ELSEWHERE = 'elsewhere'  # another account answers, and the client sees nothing of it
SAME = 'same'            # the same account answers, asked once more
CLIENT = 'client'        # the client gets what upstream said
SHOWN = 'shown'          # something was shown: the stream ends with one response.failed
SERVED = 'served'        # no failure at all

HOUR, YEAR = 3600, 366 * 86400


@dataclasses.dataclass(frozen=True)
class Refusal:
    """The answer when nobody can serve: status, code, and the type where it matters."""
    status: int
    code: typing.Optional[str]
    type: typing.Optional[str] = None


LIMITED = Refusal(429, 'rate_limit_exceeded', 'rate_limit_error')
USED_UP = Refusal(429, 'usage_limit_reached', 'usage_limit_reached')
NOBODY = Refusal(503, 'no_accounts', 'server_error')
FAILED = Refusal(503, 'server_error', 'server_error')

# What a turn is told that finds every account in this state and asks none of them.
KNOWN = {'cooling': LIMITED, 'exhausted': USED_UP, 'reauth': NOBODY, 'disabled': NOBODY}


@dataclasses.dataclass(frozen=True)
class Signal:
    name: str
    status: int                 # as an HTTP answer
    error: dict                 # the error object; None: body holds the whole answer
    state: typing.Optional[str] = None   # of the account afterwards; None: as before
    until: tuple = None         # (at least, at most) seconds from now at which the block ends
    ends: str = ELSEWHERE
    nobody: tuple = ()          # acceptable Refusals of the turn that met it everywhere; the first is the rule
    headers: dict = dataclasses.field(default_factory=dict)
    body: object = None
    kinds: tuple = ('platform', 'codex', 'stateless')  # of accounts that may say so
    http_only: bool = False     # there is no event for it
    passes: bool = True         # a second round over the pool may find it gone: 5xx and the like
    late: str = None            # code that the client reads when it comes after the first output; None: server_error


def error(code=None, kind='invalid_request_error', message='The fake upstream says no.', param=None, **more):
    """Values that are functions are times: called when the script is ordered."""
    return dict({'message': message, 'type': kind, 'param': param, 'code': code}, **more)


def soon(seconds):
    return lambda: int(time.time()) + seconds


def http_date(seconds):
    return lambda: time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime(time.time() + seconds))


def plain(value):
    """A script's value with its times filled in."""
    if callable(value):
        return value()
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    return value


def _credentials():
    for code in ('token_invalidated', 'token_revoked', 'app_session_terminated', 'account_session_expired',
                 'account_auth_invalidated'):
        yield Signal('401 ' + code, 401, error(code), 'reauth', nobody=(NOBODY,))
    yield Signal('401 token_expired', 401, error('token_expired'), nobody=(NOBODY, FAILED))
    yield Signal('401 without a code', 401, error(), nobody=(NOBODY, FAILED), http_only=True)
    yield Signal('401 other', 401, error('something_new'), nobody=(NOBODY, FAILED), http_only=True)
    yield Signal('403 other', 403, error('something_new'), nobody=(NOBODY, FAILED), http_only=True)
    yield Signal('401 invalid_api_key', 401, error('invalid_api_key', message='Incorrect API key provided: sk-1**9.'),
                 'disabled', nobody=(NOBODY,), kinds=('platform', 'stateless'))
    yield Signal('401 invalid_api_key of a login', 401, error('invalid_api_key', message='Incorrect API key provided: eyJ**.'),
                 nobody=(NOBODY, FAILED), kinds=('codex',), http_only=True)
    yield Signal('401 Incorrect API key', 401, error(message='Incorrect API key provided: sk-1**9.'), 'disabled',
                 nobody=(NOBODY,), kinds=('platform',), http_only=True)
    for code in ('account_deactivated', 'account_suspended', 'account_deleted'):
        yield Signal('403 ' + code, 403, error(code), 'disabled', nobody=(NOBODY,))
    yield Signal('401 account_deactivated', 401, error('account_deactivated'), 'disabled', nobody=(NOBODY,), http_only=True)
    yield Signal('402 deactivated_workspace', 402, None, 'cooling', (3000, 4000), nobody=(FAILED, NOBODY),
                 body={'detail': {'code': 'deactivated_workspace'}}, http_only=True)


def _limits():
    limit = 'rate_limit_exceeded'
    for kind in ('requests', 'tokens', 'rate_limit_error'):
        yield Signal('429 rate_limit_exceeded of ' + kind, 429, error(limit, kind), 'cooling', (100, 140), nobody=(LIMITED,),
                     headers={'retry-after': '120'}, http_only=True)
    # until when (protocol 5.2), in the order in which they count
    yield Signal('429 until resets_at', 429, error(limit, 'requests', resets_at=soon(90)), 'cooling', (70, 100),
                 nobody=(LIMITED,), headers={'retry-after': '600'})
    yield Signal('429 resets_in_seconds', 429, error(limit, 'requests', resets_in_seconds=80), 'cooling', (60, 100),
                 nobody=(LIMITED,))
    yield Signal('429 retry-after-ms', 429, error(limit, 'requests'), 'cooling', (80, 110), nobody=(LIMITED,),
                 headers={'retry-after-ms': '95000', 'retry-after': '600'}, http_only=True)
    yield Signal('429 retry-after fraction', 429, error(limit, 'requests'), 'cooling', (60, 95), nobody=(LIMITED,),
                 headers={'retry-after': '75.5'}, http_only=True)
    yield Signal('429 retry-after date', 429, error(limit, 'requests'), 'cooling', (75, 110), nobody=(LIMITED,),
                 headers={'retry-after': http_date(90), 'date': http_date(0)}, http_only=True)
    yield Signal('429 x-ratelimit-reset', 429, error(limit, 'requests'), 'cooling', (100, 140), nobody=(LIMITED,),
                 headers={'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '2m0s'}, http_only=True)
    yield Signal('429 try again in', 429, error(limit, 'requests', 'Please try again in 1m40s.'), 'cooling', (80, 115),
                 nobody=(LIMITED,))
    yield Signal('429 without a time', 429, error(limit, 'requests'), 'cooling', (15, 45), nobody=(LIMITED,))
    yield Signal('429 implausible reset', 429, error(limit, 'requests', resets_in_seconds=40 * 366 * 86400), 'cooling',
                 (YEAR - HOUR, YEAR + HOUR), nobody=(LIMITED,), http_only=True)
    yield Signal('429 a short limit', 429, error(limit, 'requests'), 'cooling', (8, 20), nobody=(LIMITED,),
                 headers={'retry-after': '20'}, http_only=True)
    yield Signal('429 slow_down', 429, error('slow_down', 'requests'), 'cooling', (1, 60), nobody=(LIMITED,))
    yield Signal('429 usage_limit_reached as type', 429,
                 {'type': 'usage_limit_reached', 'message': 'The usage limit has been reached', 'plan_type': 'pro',
                  'resets_at': soon(7200), 'resets_in_seconds': 7200}, 'exhausted', (7100, 7300), nobody=(USED_UP,))
    yield Signal('429 usage_limit_reached as code', 429, error('usage_limit_reached', 'rate_limit_error', resets_at=soon(1800)),
                 'exhausted', (1700, 1900), nobody=(USED_UP,))
    yield Signal('400 usage_limit_reached', 400, error('usage_limit_reached', resets_in_seconds=1200), 'exhausted',
                 (1100, 1300), nobody=(USED_UP,))
    yield Signal('429 usage_not_included', 429, error('usage_not_included', 'usage_not_included'), 'exhausted',
                 (HOUR - 120, HOUR + 600), nobody=(USED_UP,))
    for code in ('insufficient_quota', 'quota_exceeded', 'credit_balance_exhausted', 'organization_spend_limit_exceeded',
                 'project_spend_limit_exceeded', 'organization_usage_limit_exceeded'):
        yield Signal('429 ' + code, 429, error(code, code), 'exhausted', (HOUR - 120, HOUR + 600), nobody=(USED_UP,))
    yield Signal('403 insufficient_quota with a reset', 403, error('insufficient_quota', resets_at=soon(5400)), 'exhausted',
                 (5300, 5500), nobody=(USED_UP,), http_only=True)


def _capability():
    yield Signal('403 access_program_not_enabled', 403, error('access_program_not_enabled'),
                 nobody=(Refusal(403, 'access_program_not_enabled'),))
    yield Signal('404 model_not_found', 404, error('model_not_found', message="The model 'demo' does not exist."),
                 nobody=(Refusal(404, 'model_not_found'),))
    yield Signal('400 model not supported', 400, None, nobody=(Refusal(400, None),), http_only=True, kinds=('codex',),
                 body={'detail': "The 'demo' model is not supported when using Codex with a ChatGPT account."})
    yield Signal('403 only official clients', 403, error(message='This endpoint only allows Codex official clients.'),
                 nobody=(Refusal(403, None),), http_only=True)
    yield Signal('401 IP not authorized', 401, error(message='IP not authorized'), nobody=(NOBODY, FAILED), http_only=True)
    yield Signal('403 unsupported_country', 403, error('unsupported_country_region_territory', 'request_forbidden'),
                 nobody=(NOBODY, FAILED), http_only=True)
    yield Signal('403 challenge page', 403, None, nobody=(NOBODY, FAILED), http_only=True,
                 body='<html><head><title>Just a moment...</title></head><body>cf-challenge</body></html>')


def _service():
    busy = 'service_unavailable_error'
    yield Signal('503 server_is_overloaded', 503, error('server_is_overloaded', busy), nobody=(FAILED,))
    yield Signal('529 overloaded_error', 529, error(None, 'overloaded_error'), nobody=(FAILED,))
    yield Signal('503 at capacity', 503, error(None, busy, 'Selected model is at capacity. Please try a different model.'),
                 nobody=(FAILED,), http_only=True)
    yield Signal('500 server_error', 500, error('server_error', 'server_error'), nobody=(FAILED,))
    yield Signal('500 without a word', 500, None, nobody=(FAILED,), body='', http_only=True)
    yield Signal('502 HTML', 502, None, nobody=(FAILED,), body='<html><body>Bad gateway</body></html>', http_only=True)
    yield Signal('504', 504, error(None, 'server_error'), nobody=(FAILED,), http_only=True)
    yield Signal('507', 507, error('odd', 'server_error'), nobody=(FAILED,), http_only=True)
    yield Signal('200 HTML', 200, None, nobody=(FAILED,), body='<html><body>Welcome</body></html>', http_only=True)


def _content():
    for status, code in ((400, 'context_length_exceeded'), (400, 'invalid_prompt'), (400, 'cyber_policy'),
                         (400, 'bio_policy'), (400, 'misalignment_policy_violation'), (400, 'invalid_image')):
        yield Signal('%d %s' % (status, code), status, error(code, param='input'), ends=CLIENT, late=code)
    for status, code in ((400, None), (422, 'invalid'), (418, 'teapot')):
        yield Signal('%d %s' % (status, code or 'without a code'), status, error(code), ends=CLIENT, http_only=True)
    yield Signal('413', 413, error('payload_too_large'), ends=CLIENT, http_only=True)
    yield Signal('400 No tool output found', 400, error(None, message='No tool output found for function call call_1.',
                                                       param='input'), ends=CLIENT, http_only=True)


SIGNALS = [*_credentials(), *_limits(), *_capability(), *_service(), *_content()]

# Words of one account's limit that no client may read while another account serves, nor in a stream that broke.
LIMIT_WORDS = ['rate_limit', 'usage_limit', 'resets_at', 'resets_in', 'insufficient_quota', 'quota_exceeded', 'credit_balance',
               'spend_limit', 'usage_not_included', 'server_is_overloaded', 'overloaded_error', 'slow_down', 'deactivated', 'invalid_api_key', 'token_',
               'Incorrect API key', 'plan_type', 'at capacity', 'account_']
# Headers that describe one account.
ACCOUNT_HEADERS = ('x-ratelimit-', 'x-codex-primary', 'x-codex-secondary', 'x-codex-credits', 'openai-organization', 'openai-project', 'set-cookie', 'retry-after',
                   'x-should-retry')


# ---- what breaks without a word ----

POINTS_BEFORE = ('head', 'open', 'created')                        # nothing was shown
POINTS_AFTER = ('added', 'item', 'item_done', 'output', 'cut')     # the first output was shown
BREAKS = ('end', 'eof', 'reset', 'silence')
EVENTS = ('failed', 'failed_bare', 'error', 'error_nested')


@dataclasses.dataclass(frozen=True)
class Cause:
    """One column of the matrix. play(kind, stream) is the script for the account that fails, or None where that kind of
    answer cannot fail so; ends(kind, stream) is what must follow."""
    name: str
    play: typing.Callable
    ends: typing.Callable
    signal: typing.Optional[Signal] = None
    tries: tuple = (1,)      # how often the failing account may be asked by the first turn
    slow: bool = False       # somebody waits for a timeout
    mode: str = None         # of the account, instead of a script
    anchored: typing.Optional[bool] = None   # only in such turns
    once: bool = False       # only the first request meets it
    kinds: tuple = ('platform', 'codex', 'stateless')
    extra: dict = dataclasses.field(default_factory=dict)  # members of the client's body
    rounds: int = 1          # so many turns meet it before the account's state changes
    usage: bool = False      # an answer that is good tells how much is left
    spared: bool = False     # new conversations go to others from now on, old ones stay

    def of(self, kind, stream):
        """Whether an account of this kind can fail so in a turn of this sort."""
        return kind in self.kinds and self.play(kind, stream) is not None

    @property
    def state(self):
        return self.signal.state if self.signal else None

    @property
    def nobody(self):
        return self.signal.nobody if self.signal else (FAILED,)


def whole(kind, stream):
    """Whether upstream answers this turn with one body: a codex account only streams."""
    return not stream and kind != 'codex'


def _fault_cause(at, fault):
    def play(kind, stream):
        if not whole(kind, stream):
            return {'at': at, 'fault': fault}
        if at not in ('head', 'open', 'item') or (fault in EVENTS or fault == 'end') and at != 'item':
            return None  # the same as at the points that are left
        if fault in EVENTS + ('end',):
            return {'fault': fault} if fault in ('failed', 'error') else None
        return {'at': {'item': 'body'}.get(at, at), 'fault': fault}

    def ends(_kind, stream):
        if at in POINTS_BEFORE or not stream:
            return ELSEWHERE
        return SHOWN
    # a kept connection that dies without a byte is dialled again, once
    tries = (1, 2) if at == 'head' and fault in ('end', 'eof', 'reset') else (1,)
    return Cause('%s %s' % (at, fault), play, ends, tries=tries, slow=fault == 'silence')


def _terminal_cause(fault):
    return Cause('terminal %s' % fault, lambda kind, stream: None if whole(kind, stream) else {'at': 'terminal', 'fault': fault},
                 lambda kind, stream: SERVED, slow=fault == 'silence')


def _faults():
    for at in POINTS_BEFORE + POINTS_AFTER:
        for fault in BREAKS + EVENTS:
            if at == 'head' and fault in EVENTS or at == 'head' and fault == 'end' or at == 'cut' and fault in EVENTS:
                continue
            yield _fault_cause(at, fault)
    for fault in ('end', 'eof', 'reset'):
        yield _terminal_cause(fault)
    yield Cause('incomplete', lambda kind, stream: {'fault': 'incomplete'}, lambda kind, stream: SERVED)
    yield Cause('refused connection', lambda kind, stream: {}, lambda kind, stream: ELSEWHERE, mode='refuse', tries=(0,))
    yield Cause('no HTTP', lambda kind, stream: {'raw': '220 mail.example ESMTP\r\n'}, lambda kind, stream: ELSEWHERE,
                tries=(1, 2))
    yield Cause('broken JSON', lambda kind, stream: {'status': 200, 'body': '{"id":"resp_x","object":'},
                lambda kind, stream: ELSEWHERE)


# ---- every signal in every shape ----

def _http(signal):
    def play(_kind, _stream):
        do = {'status': signal.status, 'headers': plain(signal.headers)}
        if signal.body is not None:
            do['body'] = plain(signal.body)
        else:
            do['error'] = plain(signal.error)
        return do
    return Cause(signal.name, play, lambda kind, stream: signal.ends, signal, kinds=signal.kinds)


def _event(signal, shape, fault, at):
    def play(kind, stream):
        if whole(kind, stream) and fault != 'failed':
            return None  # an answer of status 500: a shape of its own that says nothing new
        return {'error': plain(signal.error), 'fault': fault, **({} if whole(kind, stream) else {'at': at})}
    told = dataclasses.replace(signal, nobody=signal.nobody + tuple(  # an event names no status
        dataclasses.replace(refusal, status=400) for refusal in signal.nobody if refusal.status in (403, 404)))
    return Cause('%s, %s' % (signal.name, shape), play, lambda kind, stream: signal.ends, told, kinds=signal.kinds)


def _three_times(status):
    signal = Signal('%d three times' % status, status, error('server_error', 'server_error'), 'cooling', (15, 31),
                    nobody=(FAILED,))
    return dataclasses.replace(_http(signal), rounds=3)


def _late(signal):
    """Behind the first output the client sees response.failed; of the account the same is learned."""
    def play(kind, stream):
        return {'error': plain(signal.error), 'fault': 'failed', 'at': 'item'} if stream else None
    return Cause('%s, late' % signal.name, play, lambda kind, stream: SHOWN, signal, kinds=signal.kinds)


SHAPES = [lambda s: _event(s, 'failed event', 'failed', 'created'), lambda s: _event(s, 'error event', 'error', 'created'),
          lambda s: _event(s, 'error before created', 'error_nested', 'open'), _late]
# One signal of each family comes in all shapes, its kin in one each, in turn.
FULL = ('401 token_revoked', '403 account_deactivated', '429 until resets_at', '429 usage_limit_reached as type',
        '429 insufficient_quota', '404 model_not_found', '503 server_is_overloaded', '500 server_error',
        '400 context_length_exceeded')


def _shapes():
    yield _three_times(500)
    yield _three_times(502)
    turn = 0
    for signal in SIGNALS:
        yield _http(signal)
        if signal.name in FULL:
            yield from (shape(signal) for shape in SHAPES)
        elif not signal.http_only:
            turn += 1
            yield SHAPES[turn % len(SHAPES)](signal)


# ---- what is mended on the same account ----

ANCHOR_LOST = {
    'code': (400, {'error': error('previous_response_not_found', param='previous_response_id',
                                  message="Previous response with id 'resp_x' not found.")}),
    'code alone': (400, {'error': {'message': 'gone', 'code': 'previous_response_not_found'}}),
    'type as code': (404, {'error': {'message': 'gone', 'type': 'previous_response_not_found'}}),
    'flat': (400, {'message': 'gone', 'code': 'previous_response_not_found', 'param': None}),
    'param': (400, {'error': error(message='No such thing.', param='previous_response_id')}),
    'message': (400, {'error': error(message='The previous response was not found.')}),
    'exactly': (400, {'error': error(message='Invalid `previous_response_id`')}),
    'unsupported': (400, {'detail': 'Unsupported parameter: previous_response_id'}),
}

CIPHERTEXT = {
    'code': error('invalid_encrypted_content'),
    'verified': error(message='The encrypted content for item rs_1 could not be verified.'),
    'decrypted': error(message='The encrypted content could not be decrypted or parsed.'),
    'organization': error(message='encrypted_content: organization_id did not match the target organization.'),
    'follower': error(message="Item 'msg_1' of type 'message' was provided without its required reasoning item: 'rs_1'."),
    'following': error(message="Item 'rs_1' of type 'reasoning' was provided without its required following item."),
}


def _mended():
    for name, (status, body) in ANCHOR_LOST.items():
        yield Cause('anchor lost: ' + name, lambda kind, stream, status=status, body=body: {'status': status, 'body': body},
                    lambda kind, stream: SAME, tries=(2,), anchored=True, once=True, kinds=('platform',))
    for name, found in CIPHERTEXT.items():
        yield Cause('ciphertext: ' + name, lambda kind, stream, found=found: {'status': 400, 'error': found},
                    lambda kind, stream: SAME, tries=(2,), anchored=True, once=True, extra={'store': False},
                    kinds=('platform', 'codex'))
    yield Cause('unsupported parameter', lambda kind, stream: {
        'status': 400, 'body': {'detail': 'Unsupported parameter: service_tier'}}, lambda kind, stream: SAME, tries=(2,),
        once=True, extra={'service_tier': 'flex'}, kinds=('codex',))


# ---- usage, told by an answer that is good ----

# What an account tells while nothing is wrong with it: the newest word on a window is the one that counts.
CALM = {'codex': {'headers': {'x-codex-primary-used-percent': '12', 'x-codex-secondary-used-percent': '3',
                              'x-codex-credits-has-credits': 'false', 'x-codex-credits-unlimited': 'false'}}}


def _window(used, seconds, name='primary', **more):
    def headers():
        return dict({'x-codex-%s-used-percent' % name: str(used), 'x-codex-%s-window-minutes' % name: '300',
                     'x-codex-%s-reset-at' % name: str(int(time.time()) + seconds)}, **more)
    return headers


def _limits_event(used, seconds, number):
    return {'type': 'codex.rate_limits', 'sequence_number': number, 'plan_type': 'pro', 'rate_limits': {
        'allowed': used < 100, 'limit_reached': used >= 100, 'secondary': None,
        'primary': {'used_percent': used, 'window_minutes': 300, 'reset_at': int(time.time()) + seconds}}}


def _usage():
    gone = Signal('usage', 200, None, 'exhausted', (5300, 5500), ends=SERVED, nobody=(USED_UP,), kinds=('codex',))
    left = dataclasses.replace(gone, state=None, until=None)

    def by_head(name, headers, signal):
        return Cause('usage: ' + name, lambda kind, stream: {'headers': headers()}, lambda kind, stream: SERVED, signal,
                     kinds=('codex',), usage=True)

    def by_event(name, place, used, signal):
        return Cause('usage: ' + name, lambda kind, stream: {
            place: [_limits_event(used, 5400, {'before': 0, 'events': 2}[place])]},
                     lambda kind, stream: SERVED, signal, kinds=('codex',), usage=True)
    yield by_head('primary window full', _window(100, 5400), gone)
    yield by_head('primary window over', _window('104.5', 5400), gone)
    yield by_head('secondary window full', _window(100, 5400, 'secondary'), gone)
    yield by_head('secondary window full, credits', _window(100, 5400, 'secondary', **{
        'x-codex-credits-has-credits': 'true', 'x-codex-credits-unlimited': 'false', 'x-codex-credits-balance': '12'}), left)
    yield by_head('primary window at 60', _window(60, 5400), left)
    yield dataclasses.replace(by_head('primary window at 96', _window(96, 5400), left), spared=True)
    yield dataclasses.replace(by_head('secondary window at 95', _window(95, 5400, 'secondary'), left), spared=True)
    yield by_event('event before created, full', 'before', 100, gone)
    yield by_event('event after in_progress, full', 'events', 100, gone)
    yield by_event('event, 60', 'before', 60, left)


CAUSES = [*_faults(), *_shapes(), *_mended(), *_usage()]
assert len({cause.name for cause in CAUSES}) == len(CAUSES)
