-- Remove an entry from the line, unless a queued answer refers to it.
--
-- KEYS  answers line
-- ARGV  entry purchase
-- gives 1 if it was removed

local known = redis.call('HGET', KEYS[1], ARGV[2])
if known and string.match(known, '^queued||.*|([^|]*)$') == ARGV[1] then
    return 0
end
return redis.call('XDEL', KEYS[2], ARGV[1])
