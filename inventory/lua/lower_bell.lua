-- Lower the bell if the line is empty: the next accepted purchase rings again. With an empty line no units
-- can be in flight; if some are, the gate is corrupt.
--
-- KEYS  line bell in_flight in_flight_by_shopper
-- gives 0 if entries wait, 1 if not, more than 1 if units are in flight all the same

if redis.call('XLEN', KEYS[1]) > 0 then
    return 0
end
redis.call('DEL', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 1 then
    local stream = redis.call('XINFO', 'STREAM', KEYS[1])
    local clock = redis.call('TIME')
    for i = 1, #stream, 2 do
        -- Stream ids only grow: after an id from the future, all later ones would be from the future.
        if stream[i] == 'last-generated-id' and tonumber(string.match(stream[i + 1], '^%d+'))
            > clock[1] * 1000 + 60000 then
            redis.call('DEL', KEYS[1])
        end
    end
end
return 1 + redis.call('EXISTS', KEYS[3], KEYS[4])
