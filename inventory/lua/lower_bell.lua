-- Takes the bell down, but only if the line is empty: whoever is accepted next rings again.
--
-- KEYS  line bell
-- gives 1 if it was taken down, 0 if purchases wait

if redis.call('XLEN', KEYS[1]) > 0 then
    return 0
end
redis.call('DEL', KEYS[2])
return 1
