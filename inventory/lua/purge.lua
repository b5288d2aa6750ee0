-- Remove the gate of a sale that has ended by Redis' own clock and whose line is empty. In one script, so
-- that no click is accepted between the check and the removal.
--
-- KEYS  gate stock in_flight bought in_flight_by_shopper answers line bell recent networks, and the former names
-- gives 1 if the gate is gone, 0 if it must stay

local gate = redis.call('HMGET', KEYS[1], 'ready', 'status', 'closes_at')
if gate[1] ~= '1' or redis.call('XLEN', KEYS[7]) > 0 then
    return 0
end
local clock = redis.call('TIME')
if gate[2] ~= 'ended' and clock[1] * 1000 + clock[2] / 1000 < tonumber(gate[3]) then
    return 0
end
redis.call('UNLINK', unpack(KEYS))
return 1
