-- gcra.py, decide(), with Redis' own clock. KEYS: one a limit. ARGV: interval and span of each, in
-- microseconds. Answer: {refused (1) or not (0), number of the binding limit, remaining,
-- retry after, reset}.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local known = redis.call('MGET', unpack(KEYS))
local times = {}
local refused, longest, refused_reset = 0, 0, 0
local binding, least, reset = 0, 0, 0
for i = 1, #KEYS do
  local interval, span = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local earliest = math.min(math.max(tonumber(known[i] or now), now), now + span)
  local after = earliest + interval
  local wait = after - span - now
  times[i] = after
  if wait > 0 then
    if wait > longest then
      refused, longest, refused_reset = i, wait, earliest - now
    end
  else
    local remaining = math.floor(-wait / interval)
    if binding == 0 or remaining < least then
      binding, least, reset = i, remaining, after - now
    end
  end
end
if refused > 0 then
  return {1, refused, 0, longest, refused_reset}
end
for i = 1, #KEYS do
  -- %.0f: Lua would print 16 digits as 1.7e+15
  redis.call('SET', KEYS[i], string.format('%.0f', times[i]), 'PX', math.ceil((times[i] - now) / 1000))
end
return {0, binding, least, 0, reset}
