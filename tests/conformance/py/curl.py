# SPDX-License-Identifier: Apache-2.0
"""curl, a process for each request. how: `create` (JSON), `stream` (the events as they come); `retrieve` reads the response
before it, `files` a turn of the way `via` with a file."""
import json
import subprocess

from play import FOUND, MODEL, TOOL, play

TERMINAL = ('response.completed', 'response.failed', 'response.incomplete')


class Refused(Exception):
    def __init__(self, status, error):
        super().__init__(error['message'])
        self.status_code, self.code, self.type, self.param = status, error['code'], error['type'], error['param']


def curl(plan, base, path, *args):
    """The answer's body, unless it is an error's."""
    done = subprocess.run(['curl', '-sSN', '--max-time', '60', '-w', '\n%{http_code}', '-H', 'Authorization: Bearer ' + plan.key,
                           *args, base + '/v1' + path], stdout=subprocess.PIPE, check=True, text=True)
    body, _, status = done.stdout.rpartition('\n')
    if int(status) >= 400:
        raise Refused(int(status), json.loads(body)['error'])
    return body


def get(plan, step, path, *args):
    return json.loads(curl(plan, plan.base(step), path, *args))


def ask(step, plan, events, **body):
    stream = step['how'] == 'stream'
    body = {'model': MODEL, 'tools': [TOOL], 'stream': stream, **step.get('members', {}), **body}
    answer = curl(plan, plan.base(step), '/responses', '-H', 'Content-Type: application/json', '-d', json.dumps(body))
    if not stream:
        return json.loads(answer)
    said = [line[len('data: '):] for line in answer.split('\n') if line.startswith('data: ')]
    assert said.pop() == '[DONE]', answer
    found = [json.loads(data) for data in said]
    events += [event['type'] for event in found]
    assert events[-1] in TERMINAL, events
    return found[-1]['response']


def told(response, calls=(), **more):
    parts = [part for item in response['output'] if item['type'] == 'message' for part in item['content']]
    return {'id': response['id'], 'status': response['status'], 'failure': response['error'], 'calls': list(calls), 'output': FOUND,
            'text': ''.join(part['text'] for part in parts), **more}


def conversation(step, plan, events):
    calls = []
    response = ask(step, plan, events, input=step['text'], previous_response_id=plan.anchor(step))
    while True:
        wanted = [item for item in response['output'] if item['type'] == 'function_call']
        if not wanted:
            return told(response, calls)
        calls += wanted
        response = ask(step, plan, events, previous_response_id=response['id'], input=[
            {'type': 'function_call_output', 'call_id': call['call_id'], 'output': FOUND} for call in wanted])


def retrieve(step, plan, _events):
    path = '/responses/' + plan.anchor(step)
    return told(get(plan, step, path), items=get(plan, step, path + '/input_items?order=asc')['data'])


def files(step, plan, events):
    def ids():
        return [each['id'] for each in get(plan, step, '/files')['data']]
    file = get(plan, step, '/files', '-F', 'purpose=user_data', '-F', 'file=Dear courier;filename=letter.txt')['id']
    content = [{'type': 'input_file', 'file_id': file}, {'type': 'input_text', 'text': step['text']}]
    response = ask({**step, 'how': step['via']}, plan, events, input=[{'role': 'user', 'content': content}])
    listed = ids()
    deleted = get(plan, step, '/files/' + file, '-X', 'DELETE')['deleted']
    return told(response, file=file, listed=listed, deleted=deleted, left=ids())


MORE = {'retrieve': retrieve, 'files': files}
play(lambda step, plan, events: MORE.get(step['how'], conversation)(step, plan, events))
