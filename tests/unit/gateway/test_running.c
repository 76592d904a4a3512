/* SPDX-License-Identifier: Apache-2.0 */
/* Which turns of a node are told of while they run, and what of them. */
#include "ph_test.h"

#include <jansson.h>
#include <stdio.h>

#include "gateway/request_priv.h"
#include "gateway/traffic.h"
#include "posthouse/clock.h"

#define SECOND UINT64_C(1000000000)

static const struct ph_sm_state states[REQ_NR] = {
	[REQ_AUTH] = {"AUTH", PH_SM_BIT(REQ_RELAY) | PH_SM_BIT(REQ_DONE)},
	[REQ_RELAY] = {"RELAY", PH_SM_BIT(REQ_DONE)},
	[REQ_DONE] = {"DONE", 0},
};

static struct ph_gateway g;
static struct ph_request turns[16];

/* They came so many seconds ago: the first one before all others. */
static void running(const unsigned *ages, size_t n)
{
	memset(turns, 0, sizeof turns);
	ph_list_init(&g.requests);
	for (size_t i = 0; i < n; i++) {
		struct ph_request *r = &turns[i];

		snprintf(r->request_id, sizeof r->request_id, "req_%zu", i);
		r->started_ns = ph_clock_ns() - ages[i] * SECOND;
		ph_sm_init(&r->sm, "turn", states, REQ_NR, REQ_AUTH);
		ph_list_push_back(&g.requests, &r->node);
	}
}

/* To be freed; NULL: nothing was told. */
static json_t *told(void)
{
	struct ph_buf b;
	json_t *v;

	ph_buf_init(&b, 65536);
	ph_running_put(&g, &b);
	if (b.n == 0)
		return NULL;
	v = json_loadb(b.p, b.n, 0, NULL);
	assert_non_null(v);
	ph_buf_deinit(&b);
	return v;
}

static const char *text(const json_t *v, size_t i, const char *name)
{
	return json_string_value(json_object_get(json_array_get(v, i), name));
}

static void the_oldest(void **state)
{
	json_t *v;

	(void)state;
	running(NULL, 0);
	assert_null(told());
	running((const unsigned[]){0, 0}, 2); /* they may be over in a moment */
	assert_null(told());
	running((const unsigned[]){9, 8, 0}, 3);
	v = told();
	assert_int_equal(json_array_size(v), 2);
	assert_string_equal(text(v, 0, "request_id"), "req_0");
	json_decref(v);
	running((const unsigned[]){90, 80, 70, 60, 50, 40, 30}, 7);
	ph_sm_move(&turns[1].sm, REQ_DONE); /* its client has all of it */
	v = told();
	assert_int_equal(json_array_size(v), 5);
	assert_string_equal(text(v, 1, "request_id"), "req_2");
	assert_string_equal(text(v, 4, "request_id"), "req_5");
	json_decref(v);
}

static void what_of_it(void **state)
{
	struct ph_key key = {.id = 7};
	struct ph_request *r = turns;
	json_int_t key_id, account;
	double age, first;
	int shown, attempts;
	json_t *v;

	(void)state;
	running((const unsigned[]){100}, 1);
	v = told();
	assert_string_equal(text(v, 0, "state"), "AUTH");
	assert_string_equal(text(v, 0, "model"), "");
	assert_null(json_object_get(json_array_get(v, 0), "first_event_ms"));
	json_decref(v);
	ph_sm_move(&r->sm, REQ_RELAY);
	r->door.key = &key;
	r->account_id = 9;
	r->attempts = 2;
	r->shown = true;
	r->body.model = PH_STR("odd \"one\"\n");
	r->body_ns = r->started_ns + SECOND;
	r->first_event_ns = r->body_ns + 3 * SECOND;
	v = told();
	assert_int_equal(
		json_unpack(v, "[{s:I,s:I,s:F,s:b,s:i,s:F}]", "key_id", &key_id, "account_id", &account,
			"age_ms", &age, "shown", &shown, "attempts", &attempts, "first_event_ms", &first),
		0);
	assert_true(key_id == 7 && account == 9 && shown && attempts == 2 && first == 3000);
	assert_true(age >= 100000 && age < 160000);
	assert_string_equal(text(v, 0, "model"), "odd \"one\"\n");
	assert_string_equal(text(v, 0, "state"), "RELAY");
	json_decref(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest),
		cmocka_unit_test(what_of_it),
	};

	return cmocka_run_group_tests_name("gateway.running", tests, NULL, NULL);
}
