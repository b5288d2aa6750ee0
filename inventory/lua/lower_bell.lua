-- Takes the bell down, but only if the line is empty: whoever is accepted next rings again. Of an empty
-- line nothing can be in flight or held: where it is, the gate cannot be believed.
--
-- KEYS  line bell flight held
-- gives 0 if purchases wait, else 1, or more if something is in flight or held

if redis.call('XLEN', KEYS[1]) > 0 then
    return 0
end
redis.call('DEL', KEYS[2])
if redis.call('EXISTS', KEYS[1]) == 1 then
    local stream = redis.call('XINFO', 'STREAM', KEYS[1])
    local clock = redis.call('TIME')
    for i = 1, #stream, 2 do
        -- Each id is greater than the last: after one from the future, all would come from there.
        if stream[i] == 'last-generated-id' and tonumber(string.match(stream[i + 1], '^%d+'))
            > clock[1] * 1000 + 60000 then
            redis.call('DEL', KEYS[1])
        end
    end
end
return 1 + redis.call('EXISTS', KEYS[3], KEYS[4])
