#!lua flags=allow-oom
-- Begin a new epoch: the gate is not ready until it has been rebuilt in this epoch. Called by its text, because
-- the scripts are not loaded yet; a full memory must not stop it.
--
-- A gate that version 0.1.0 wrote has other names: `flight` and `held` for the units in flight, `mark` and
-- `warm` for the epoch and whether it is ready. They are renamed here, so that an open sale is taken over with its
-- line. Processes of that version find no `warm` and answer "busy" until they are replaced.
--
-- KEYS  gate in_flight in_flight_by_shopper, and the former names of the last two
-- ARGV  epoch
-- gives 1

if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then
    redis.call('DEL', KEYS[1]) -- another program's key under the gate's name
end
redis.call('HDEL', KEYS[1], 'mark', 'warm', 'odd')
for i = 2, 3 do
    if redis.call('EXISTS', KEYS[i + 2]) == 1 then
        redis.call('RENAMENX', KEYS[i + 2], KEYS[i])
    end
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'ready', '0')
return 1
