-- Sends the requests of a file, one after the other.
--
-- args  file: raw requests, each ended by a NUL
--       "again" to start over at the end of the file; otherwise the load ends there
-- PAUSE in the environment: ms after each answer
-- prints JSON: seconds, answered, answers by status, errors by kind, latencies in ms, used_up

local threads = {}
local requests, at, again = {}, 0, false
answers, used_up = {}, false

function setup(thread)
    threads[#threads + 1] = thread
end

function init(args)
    local file = assert(io.open(args[1], 'rb'))
    for request in file:read('*a'):gmatch('([^%z]+)%z') do
        requests[#requests + 1] = request
    end
    file:close()
    again = args[2] == 'again'
end

function request()
    at = at + 1
    if at > #requests then
        at = 1
        if not again then
            used_up = true
            wrk.thread:stop()
        end
    end
    return requests[at]
end

local pause = tonumber(os.getenv('PAUSE'))
if pause then
    function delay()
        return pause
    end
end

function response(status)
    answers[status] = (answers[status] or 0) + 1
end

function done(summary, latency)
    local counted, exhausted = {}, false
    for _, thread in ipairs(threads) do
        exhausted = exhausted or thread:get('used_up')
        for status, count in pairs(thread:get('answers')) do
            counted[status] = (counted[status] or 0) + count
        end
    end
    local by_status = {}
    for status, count in pairs(counted) do
        by_status[#by_status + 1] = string.format('"%d": %d', status, count)
    end
    local errors = {}
    for _, kind in ipairs({'connect', 'read', 'write', 'timeout'}) do
        errors[#errors + 1] = string.format('"%s": %d', kind, summary.errors[kind])
    end
    local latencies = {}
    for _, share in ipairs({50, 99}) do
        local ms = latency:percentile(share) / 1000
        latencies[#latencies + 1] = string.format('"p%d": %.3f', share, ms)
    end
    print(string.format(
        '{"seconds": %.6f, "answered": %d, "answers": {%s}, "errors": {%s}, "latency": {%s}, "used_up": %s}',
        summary.duration / 1e6, summary.requests, table.concat(by_status, ', '),
        table.concat(errors, ', '), table.concat(latencies, ', '), tostring(exhausted)))
end
