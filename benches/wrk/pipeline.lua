-- Sends several requests at once on each connection, and the next ones when all are answered:
--
--   wrk -t1 -c64 -d5s --latency -s benches/wrk/pipeline.lua http://127.0.0.1:8080/ -- 16
--
-- The number after -- is how many; 16 where there is none, as in TechEmpower's plaintext test.

local batch

function init(args)
  local depth = tonumber(args[1] or 16)
  if not depth or depth < 1 or depth % 1 ~= 0 then
    error("pipeline.lua: '" .. args[1] .. "' requests at once: a whole number from 1 up is wanted")
  end
  batch = string.rep(wrk.format(), depth)
end

function request()
  return batch
end
