-- SPDX-License-Identifier: Apache-2.0
-- wrk: another key in every request, of the right look and with a wrong checksum. Arguments: a body's file, a key's length.
dofile(assert(os.getenv("BENCH_DIR")) .. "/turn.lua")

local head, tail, length

function init(args)
	local file = assert(io.open(args[1], "rb"))
	local body = file:read("*a")
	file:close()
	length = tonumber(args[2])
	head = "POST /v1/responses HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nAuthorization: Bearer ph_"
	tail = string.format("\r\nContent-Length: %d\r\n\r\n%s", #body, body)
	math.randomseed(os.time())
end

function request()
	local key = ""
	while #key < length - 3 do
		key = key .. string.format("%08x", math.random(0, 2 ^ 31 - 1))
	end
	return head .. key:sub(1, length - 3) .. tail
end
