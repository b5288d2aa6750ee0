#!lua flags=allow-oom
-- Puts a mark on a gate, which from then on answers nobody until it was told under that mark. Called by
-- its text, because it comes before the scripts are known; a full memory must not stand in its way.
--
-- KEYS  gate
-- ARGV  mark
-- gives 1

if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then
    redis.call('DEL', KEYS[1]) -- another program's, in a place that is ours
end
redis.call('HSET', KEYS[1], 'mark', ARGV[1], 'warm', '0')
return 1
