'use strict';
/*
 * Draws /status.json. Everything that comes from the cluster is put in as text, never as markup. Asks every two
 * seconds while somebody looks, and not while the page is hidden.
 */

const EVERY_MS = 2000;
const OLD_MS = 30000;
const $ = id => document.getElementById(id);

function el(tag, attributes, ...children) {
	const e = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes || {}))
		if (value !== undefined && value !== null)
			e.setAttribute(name, value);
	e.append(...children.filter(c => c !== null && c !== undefined && c !== ''));
	return e;
}

/* ---- words ---- */

function duration(seconds) {
	const s = Math.max(0, Math.round(seconds));
	if (s < 90)
		return `${s} s`;
	if (s < 5400)
		return `${Math.round(s / 60)} min`;
	if (s < 129600)
		return `${Math.round(s / 3600)} h`;
	return `${Math.round(s / 86400)} d`;
}

function milliseconds(ms) {
	if (ms === null || ms === undefined)
		return '–';
	if (ms < 10)
		return `${ms.toFixed(1)} ms`;
	if (ms < 1000)
		return `${Math.round(ms)} ms`;
	return ms < 100000 ? `${(ms / 1000).toFixed(1)} s` : duration(ms / 1000);
}

function rate(n) {
	return n === 0 ? '0' : n < 10 ? n.toFixed(n < 1 ? 2 : 1) : String(Math.round(n));
}

function percent(part, whole) {
	const p = 100 * part / whole;
	return !whole ? '–' : part && p < 1 ? '< 1 %' : `${Math.round(p)} %`;
}

const clock = at => new Date(at).toLocaleTimeString([], {hour: '2-digit', minute: '2-digit'});
const until = (at, now) => `until ${clock(at)}, in ${duration((new Date(at) - now) / 1000)}`;
const plural = (n, one, many) => `${n} ${n === 1 ? one : many || one + 's'}`;

/* ---- what is wrong ---- */

const GRAVE = {active: 'good', cooling: 'warn', exhausted: 'warn', paused: 'warn', draining: 'warn', reauth: 'bad', disabled: 'bad'};

const OPERATORS = ['paused', 'draining'];

function accountNotice(a, now) {
	switch (a.state) {
	case 'reauth':
		return ['bad', `Account ${a.name} needs a new credential (${a.reason})`, a.kind === 'codex' ?
			`posthouse account login ${a.name}` : `posthouse account add ${a.name}, with its new key`, a.evidence];
	case 'disabled':
		return ['bad', `Account ${a.name} was refused by its upstream (${a.reason})`,
			`Replace its credential with posthouse account add ${a.name}, or remove it`, a.evidence];
	case 'exhausted':
	case 'cooling':
		return ['warn', `Account ${a.name} is ${a.state} ${a.until ? until(a.until, now) : ''} (${a.reason})`,
			'Its conversations go on with other accounts; it returns by itself', a.evidence];
	case 'paused':
	case 'draining':
		return ['warn', `Account ${a.name} is ${a.state}`, `posthouse account resume ${a.name}`];
	}
	if (a.max_streams && a.missing > 0)
		return ['warn', `Account ${a.name} is full: ${plural(a.missing, 'turn')} wait for one of its ${a.max_streams} slots`,
			'Raise the limit with set_account_limit(), or add an account'];
	return null;
}

/* What this node finds by itself: a server whose disk is full may not take its report either. */
function writesNotice(s) {
	if (s.write_state === '53100')
		return ['bad', 'The disk of PostgreSQL is full (SQLSTATE 53100): turns cannot be kept',
			'Make room on the disk of its data, or give it a larger one; nothing need be started again'];
	if (s.write_state)
		return ['bad', `PostgreSQL refuses to write (SQLSTATE ${s.write_state}): turns cannot be kept`, 'See its log'];
	if (s.commit_ms > 250)
		return ['warn', `PostgreSQL is slow: a commit takes ${milliseconds(s.commit_ms)}`,
			'See how fast its disk commits, and what it is busy with (pg_stat_activity)'];
	return null;
}

function notices(s, c, now) {
	const list = [];
	const usable = c.accounts.filter(a => a.state === 'active').length;
	const alive = c.nodes.filter(n => n.state === 'alive').length;

	if (s.database === 'away')
		list.push(['bad', 'PostgreSQL does not answer this node', 'Turns that need no look-up go on; look at the server, its ' +
			'log and posthouse doctor. What is shown is from before.']);
	const writes = s.database === 'away' || (c.doctor || []).some(d => / writes$/.test(d.check)) ? null : writesNotice(s);
	if (writes)
		list.push(writes);
	if (!c.accounts.length)
		list.push(['bad', 'There is no account', 'posthouse account add NAME --kind platform --base-url URL --api-key-file FILE']);
	else if (!usable)
		list.push(['bad', 'No account can take a turn', 'Each says below why, and until when']);
	for (const n of c.nodes)
		if (n.state === 'silent')
			list.push(['bad', `Node ${n.name} has been silent for ${duration(n.silent_for_s)}`,
				`Start it again; if it is gone for good: posthouse node forget ${n.name}`]);
		else if (n.state === 'draining')
			list.push(['warn', `Node ${n.name} is drained by an operator`, 'It serves again when it is started again']);
	if (new Set(c.nodes.map(n => n.version)).size > 1)
		list.push(['warn', 'Nodes run different versions', 'Fine during an upgrade; otherwise bring them to one version']);
	for (const a of c.accounts) {
		const notice = accountNotice(a, now);
		if (notice)
			list.push(notice);
	}
	for (const d of c.doctor || [])
		list.push([d.status === 'fail' ? 'bad' : 'warn', `${d.check}: ${d.detail}`, d.remedy]);
	return {list, usable, alive};
}

function drawNotices(s, c, now) {
	const {list, usable, alive} = notices(s, c, now);
	const worst = list.some(n => n[0] === 'bad') ? 'bad' : list.length ? 'warn' : 'good';

	list.sort((a, b) => (a[0] === 'bad' ? 0 : 1) - (b[0] === 'bad' ? 0 : 1));
	$('notices').replaceChildren(...list.map(([grave, what, remedy, evidence]) => el('li', {class: `notice ${grave}`}, what + '.',
		el('small', {}, remedy + (/[.)]$/.test(remedy) ? '' : '.')),
		evidence ? el('small', {class: 'quiet'}, 'Upstream said: ' + evidence) : null)));
	$('verdict').className = worst;
	$('verdict').textContent = (worst === 'good' ? 'All is well' : worst === 'warn' ? 'It works, with remarks' : 'Something needs you') +
		`: ${plural(alive, 'node')}, ${usable} of ${plural(c.accounts.length, 'account')} usable`;
	document.title = (worst === 'bad' ? '● ' : '') + 'Posthouse';
}

/* ---- figures and charts ---- */

/* The present minute has only begun: a rate is taken over the last whole one and what there is of this one. */
function present(c, now) {
	const last = c.minutes.slice(-2);
	const seconds = 60 + Math.max(1, (now - new Date(last[1].minute)) / 1000);
	const sum = name => last.reduce((n, m) => n + m[name], 0);

	return {turns: sum('turns'), perSecond: sum('turns') / seconds, failed: sum('failed'), replayed: sum('replayed'),
		latest: last[1].turns ? last[1] : last[0]};
}

function card(name, value, unit) {
	return el('div', {class: 'card'}, el('div', {class: 'name'}, name), el('div', {class: 'value'}, value,
		unit ? el('small', {}, ' ' + unit) : null));
}

function drawFigures(c, now) {
	const p = present(c, now);
	const hour = name => c.minutes.reduce((n, m) => n + m[name], 0);
	const running = c.nodes.filter(n => n.state !== 'silent').reduce((n, x) => n + (x.running || 0), 0);

	$('figures').replaceChildren(
		card('Turns a second', rate(p.perSecond)),
		card('Running now', String(running), running === 1 ? 'turn' : 'turns'),
		card('First event, half', milliseconds(p.latest.first_event_p50_ms)),
		card('First event, 99 %', milliseconds(p.latest.first_event_p99_ms)),
		card('Replayed, last hour', percent(hour('replayed'), hour('turns'))),
		card('Failed, last hour', percent(hour('failed'), hour('turns'))));
}

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 300, HEIGHT = 80;

function shape(tag, attributes) {
	const e = document.createElementNS(SVG, tag);
	for (const [name, value] of Object.entries(attributes))
		e.setAttribute(name, value);
	return e;
}

/* A line with gaps where there is no figure. */
function path(values, top) {
	let d = '', pen = 'M';
	values.forEach((v, i) => {
		if (v === null || v === undefined) {
			pen = 'M';
			return;
		}
		const x = (i * WIDTH / (values.length - 1)).toFixed(1), y = (HEIGHT - v / top * HEIGHT).toFixed(1);
		d += `${pen}${x} ${y}`;
		if (pen === 'M')
			d += `h.01`;
		pen = 'L';
	});
	return d;
}

/* A round number above all values, so that the scale does not tremble. */
function topOf(values, least) {
	const most = Math.max(least, ...values.filter(v => v !== null && v !== undefined));
	const power = 10 ** Math.floor(Math.log10(most));
	return [1, 2, 5, 10].map(n => n * power).find(n => n >= most * 0.999);
}

function chart(c, title, series, write, least, fill) {
	const top = topOf(series.flatMap(s => s.values), least);
	const drawing = shape('svg', {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img',
		'aria-label': `${title}, the last hour; at most ${write(top)}`});

	for (const y of [0, HEIGHT / 2, HEIGHT])
		drawing.append(shape('line', {x1: 0, x2: WIDTH, y1: y, y2: y}));
	if (fill && path(series[0].values, top))
		drawing.append(shape('path', {class: 'area', d: `M0 ${HEIGHT}L` + series[0].values.map((v, i) =>
			`${(i * WIDTH / (series[0].values.length - 1)).toFixed(1)} ${(HEIGHT - (v || 0) / top * HEIGHT).toFixed(1)}`).join('L') +
			`L${WIDTH} ${HEIGHT}Z`}));
	series.forEach((s, i) => drawing.append(shape('path', {class: i ? 'second' : 'first', d: path(s.values, top)})));
	return el('figure', {class: 'card'},
		el('figcaption', {}, el('b', {}, title), el('div', {}, el('span', {}, ...series.flatMap((s, i) => s.name ?
			[el('span', {class: `key ${i ? 'second' : 'first'}`}, s.name), ' '] : [])), el('span', {}, write(top)))),
		drawing,
		el('div', {class: 'axis'}, el('span', {}, clock(c.minutes[0].minute)), el('span', {}, clock(c.minutes[30].minute)),
			el('span', {}, 'now')));
}

function drawCharts(c) {
	const whole = c.minutes.slice(0, -1); /* the present minute would look like a fall */
	const of = f => whole.map(f);
	const share = name => of(m => m.turns ? 100 * m[name] / m.turns : null);

	$('charts').replaceChildren(
		chart(c, 'Turns a second', [{values: of(m => m.turns / 60)}], rate, 0.1, true),
		chart(c, 'Time to the first event', [{name: 'half', values: of(m => m.first_event_p50_ms)},
			{name: '99 %', values: of(m => m.first_event_p99_ms)}], milliseconds, 1),
		chart(c, 'Time of a whole turn', [{name: 'half', values: of(m => m.p50_ms)}, {name: '99 %', values: of(m => m.p99_ms)}],
			milliseconds, 1),
		chart(c, 'Turns that run', [{values: of(m => m.running)}], n => String(Math.round(n)), 1, true),
		chart(c, 'How turns were continued', [{name: 'replayed', values: share('replayed')}, {name: 'live', values: share('live')}],
			n => `${Math.round(n)} %`, 100),
		chart(c, 'Turns that failed', [{values: share('failed')}], n => `${Math.round(n)} %`, 5, true));
}

/* ---- tables ---- */

function table(id, columns, rows) {
	$(id).replaceChildren(
		el('thead', {}, el('tr', {}, ...columns.map(c => el('th', {class: c.kind, scope: 'col'}, c.name)))),
		el('tbody', {}, ...rows.map(row => el('tr', {}, ...columns.map((c, i) =>
			el('td', {class: c.kind, 'data-name': c.name}, typeof row[i] === 'string' ? row[i] : row[i] || ''))))));
}

function bar(name, full, text, title) {
	const grave = full >= 100 ? 'bad' : full >= 85 ? 'warn' : '';
	const gauge = el('i', {});

	gauge.style.setProperty('--full', `${Math.min(100, Math.max(0, full))}%`);
	return el('div', {class: `bar ${grave}`, title}, el('span', {}, name), gauge, el('b', {}, text));
}

function windows(a) {
	const bars = ['primary', 'secondary'].filter(w => a[`${w}_percent`] !== null).map(w => bar(
		a[`${w}_s`] ? duration(a[`${w}_s`]) : w, a[`${w}_percent`], `${Math.round(a[`${w}_percent`])} %`,
		a[`${w}_resets`] ? `resets ${new Date(a[`${w}_resets`]).toLocaleString()}` : null));

	return bars.length ? el('div', {}, ...bars) : '–';
}

function drawAccounts(c, now) {
	table('accounts', [{name: 'Account', kind: 'name'}, {name: 'Kind'}, {name: 'State'}, {name: 'Slots'}, {name: 'Usage'}],
		c.accounts.map(a => [a.name, a.kind + (a.plan ? ` (${a.plan})` : ''),
			el('div', {}, el('span', {class: `state ${GRAVE[a.state] || ''}`}, a.state),
				a.state === 'active' ? null : el('small', {}, OPERATORS.includes(a.state) ? 'by an operator' :
					[a.reason, a.until ? until(a.until, now) : null].filter(Boolean).join(', '))),
			a.max_streams ? el('div', {}, bar('', 100 * (a.running || 0) / a.max_streams, `${a.running || 0} / ${a.max_streams}`,
				`${a.slots || 0} held by nodes`)) : 'no limit',
			windows(a)]));
	if (!c.accounts.length)
		$('accounts').replaceChildren(el('tbody', {}, el('tr', {}, el('td', {}, 'None yet.'))));
}

function drawNodes(c, now) {
	const grave = {alive: 'good', draining: 'warn', silent: 'bad'};

	table('nodes', [{name: 'Node', kind: 'name'}, {name: 'State'}, {name: 'Running', kind: 'number'},
		{name: 'Slots held', kind: 'number'}, {name: 'Up for', kind: 'number'}, {name: 'Version'}],
		c.nodes.map(n => [n.name, el('span', {class: `state ${grave[n.state] || ''}`}, n.state +
			(n.state === 'silent' ? ` for ${duration(n.silent_for_s)}` : '')), n.state === 'silent' ? '–' : String(n.running || 0), String(n.slots),
			n.state === 'silent' ? '–' : duration((now - new Date(n.started)) / 1000), n.version]));
}

/* What a turn of that state does; the first word is its name in SQL. */
const DOING = {auth: 'its key is looked up', body: 'its body comes', resolve: 'its conversation is looked up', limit: 'waits for its key\'s limit',
	lease: 'waits for an account', connect: 'goes to the account', send: 'goes to the account', await: 'waits for the first event',
	relay: 'its answer passes', commit: 'is written'};
const RUNNING_MOST = 10;

function drawRunning(c) {
	const running = c.running || [];

	table('running', [{name: 'Request', kind: 'name'}, {name: 'Runs for', kind: 'number'}, {name: 'Does'}, {name: 'Model'}, {name: 'Account'}],
		running.slice(0, RUNNING_MOST).map(r => [
			el('div', {}, el('code', {}, r.request_id), el('small', {}, [r.key_name ? `key ${r.key_name}` : null, r.node].filter(Boolean).join(', '))),
			duration(r.duration_ms / 1000),
			el('div', {}, DOING[r.state] || r.state, r.first_event_ms === null ? null :
				el('small', {}, `first event after ${milliseconds(r.first_event_ms)}`)),
			r.model || '–',
			el('div', {}, r.account || '–', r.attempts > 1 ? el('small', {}, `number ${r.attempts} that was tried`) : null)]));
	if (!running.length)
		$('running').replaceChildren(el('tbody', {}, el('tr', {}, el('td', {}, 'None runs for longer than a second.'))));
}

function drawErrors(s, c, now) {
	$('errors').replaceChildren(...c.errors.map(e => el('div', {class: 'card error'},
		el('div', {class: 'head'}, el('b', {}, e.error), el('span', {class: 'quiet'}, plural(e.turns, 'request')),
			el('span', {class: 'quiet'}, `last ${duration((now - new Date(e.last)) / 1000)} ago`),
			e.account ? el('span', {class: 'quiet'}, `account ${e.account}`) : null,
			e.key_name ? el('span', {class: 'quiet'}, `key ${e.key_name}`) : null, el('code', {class: 'quiet'}, e.request_id)),
		s.remedies[e.error] ? el('p', {}, s.remedies[e.error]) : null)));
	if (!c.errors.length)
		$('errors').replaceChildren(el('p', {class: 'quiet'}, 'None.'));
}

/* ---- the loop ---- */

let heard = 0, timer = 0;

function draw(s) {
	const c = s.cluster;

	if (!c) {
		$('verdict').className = 'bad';
		$('verdict').textContent = 'PostgreSQL has not answered this node yet: look at the server, and at posthouse doctor';
		return;
	}
	const now = new Date(c.now);
	drawNotices(s, c, now);
	drawFigures(c, now);
	drawCharts(c);
	drawAccounts(c, now);
	drawNodes(c, now);
	drawRunning(c);
	drawErrors(s, c, now);
	heard = performance.now() - s.age_ms;
}

function tellAge(fault) {
	const ms = performance.now() - heard;

	document.body.className = heard && ms > OLD_MS ? 'old' : '';
	$('age').textContent = fault || (ms > 5000 ? `as of ${duration(ms / 1000)} ago` : 'live');
}

async function look() {
	clearTimeout(timer);
	if (document.hidden)
		return;
	try {
		const answer = await fetch('/status.json', {cache: 'no-store', signal: AbortSignal.timeout(10000)});
		if (!answer.ok)
			throw new Error(`${answer.status}`);
		draw(await answer.json());
		tellAge();
	} catch (e) {
		tellAge(heard ? `this node does not answer; as of ${duration((performance.now() - heard) / 1000)} ago` : 'this node does not answer');
		console.error(e);
	}
	clearTimeout(timer);
	timer = setTimeout(look, EVERY_MS);
}

document.addEventListener('visibilitychange', look);
look();
