# SPDX-License-Identifier: Apache-2.0
"""openai-python. how: `create` (JSON), `raw` (the events as they come), `stream` (its accumulator), `socket` (its WebSocket
client, one socket for each node); `retrieve` reads the response before it, `files` a turn of the way `via` with a file."""
from openai import NOT_GIVEN, OpenAI

from play import FOUND, MODEL, TOOL, play

TERMINAL = ('response.completed', 'response.failed', 'response.incomplete')
SOCKETS = {}


def create(client, body, _events, _base):
    return client.responses.create(**body)


def raw(client, body, events, _base):
    response = None
    for event in client.responses.create(stream=True, **body):
        events.append(event.type)
        response = getattr(event, 'response', response)
    return response


def stream(client, body, events, _base):
    response = None
    with client.responses.stream(**body) as turn:
        for event in turn:
            events.append(event.type)
            response = event.response if event.type in TERMINAL else response
    return response


def socket(client, body, events, base):
    if base not in SOCKETS:
        SOCKETS[base] = client.responses.connect().enter()
    SOCKETS[base].response.create(**body)
    while True:
        event = SOCKETS[base].recv()
        if event.type == 'error':
            raise RuntimeError(event.to_json())
        events.append(event.type)
        if event.type in TERMINAL:
            return event.response


WAYS = {'create': create, 'raw': raw, 'stream': stream, 'socket': socket}


def client_at(base, step, plan):
    return OpenAI(api_key=plan.key, base_url=base + '/v1', max_retries=step.get('retries', 2))


def ask(step, plan, events, **body):
    base = plan.base(step)
    body = {'model': MODEL, 'tools': [TOOL], **step.get('members', {}), **body}
    if body.get('previous_response_id') is None:
        body['previous_response_id'] = NOT_GIVEN
        if step['how'] == 'socket':
            del body['previous_response_id']
    return WAYS[step['how']](client_at(base, step, plan), body, events, base)


def told(response, calls=(), **more):
    return {'id': response.id, 'status': response.status, 'failure': response.error and response.error.to_dict(),
            'text': response.output_text, 'calls': list(calls), 'output': FOUND, **more}


def conversation(step, plan, events):
    calls = []
    response = ask(step, plan, events, input=step['text'], previous_response_id=plan.anchor(step))
    while True:
        wanted = [item for item in response.output if item.type == 'function_call']
        if not wanted:
            return told(response, calls)
        calls += [{'call_id': call.call_id, 'name': call.name, 'arguments': call.arguments} for call in wanted]
        response = ask(step, plan, events, previous_response_id=response.id, input=[
            {'type': 'function_call_output', 'call_id': call.call_id, 'output': FOUND} for call in wanted])


def retrieve(step, plan, _events):
    response = client_at(plan.base(step), step, plan).responses.retrieve(plan.anchor(step))
    items = client_at(plan.base(step), step, plan).responses.input_items.list(response.id, order='asc')
    return told(response, items=[item.to_dict() for item in items])


def files(step, plan, events):
    def at_next():
        return client_at(plan.base(step), step, plan).files
    file = at_next().create(file=('letter.txt', b'Dear courier'), purpose='user_data')
    content = [{'type': 'input_file', 'file_id': file.id}, {'type': 'input_text', 'text': step['text']}]
    response = ask({**step, 'how': step['via']}, plan, events, input=[{'role': 'user', 'content': content}])
    listed = [each.id for each in at_next().list()]
    deleted = at_next().delete(file.id).deleted
    return told(response, file=file.id, listed=listed, deleted=deleted, left=[each.id for each in at_next().list()])


MORE = {'retrieve': retrieve, 'files': files}


def close():
    for each in SOCKETS.values():
        each.close()


play(lambda step, plan, events: MORE.get(step['how'], conversation)(step, plan, events), close)
