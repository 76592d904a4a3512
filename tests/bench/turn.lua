-- SPDX-License-Identifier: Apache-2.0
-- wrk: one request over and over. Arguments: the file of its body, the key.
local body

function init(args)
	local file = assert(io.open(args[1], "rb"))
	wrk.body = file:read("*a")
	file:close()
	wrk.method = "POST"
	wrk.headers["Content-Type"] = "application/json"
	wrk.headers["Authorization"] = "Bearer " .. args[2]
	body = wrk.format()
end

function request()
	return body
end

function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format(
		'RESULT {"answered":%d,"seconds":%.6f,"bytes":%d,"not_2xx":%d,"errors":%d,"p50":%.1f,"p90":%.1f,"p99":%.1f,"max":%.1f}\n',
		summary.requests, summary.duration / 1e6, summary.bytes, e.status, e.connect + e.read + e.write + e.timeout,
		latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
