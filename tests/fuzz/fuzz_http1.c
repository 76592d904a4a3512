/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1: the events of a stream do not depend on where it was cut, nor on pauses. The first byte says how
 * to run, the second how to cut.
 */
#include "fuzz.h"

#include "../unit/codec/http1_log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_str s = {(const char *)data, size};
	uint8_t mode = fuzz_byte(&s), cut = fuzz_byte(&s);
	struct http1_how whole = {.side = mode & 1 ? PH_HTTP_ANSWERS : PH_HTTP_REQUESTS, .headers = true};
	struct http1_how pieces;

	whole.no_body = (mode & 2) != 0;
	pieces = whole;
	pieces.pause = (mode & 4) != 0;
	fuzz_compare(s, cut, http1_run, &whole, &pieces);
	return 0;
}
