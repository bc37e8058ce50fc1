-- Posts the same content again and again:
--
--   wrk -t1 -c64 -d5s --latency -s benches/wrk/post.lua http://127.0.0.1:8080/echo -- 65536
--
-- The number after -- is the content's length in bytes; 5 where there is none.

function init(args)
  local length = tonumber(args[1] or 5)
  if not length or length < 0 or length % 1 ~= 0 then
    error("post.lua: a content of '" .. args[1] .. "' bytes: a whole number from 0 up is wanted")
  end
  wrk.method = "POST"
  wrk.body = string.rep("x", length)
  wrk.headers["content-type"] = "text/plain"
  -- Made once: wrk would otherwise put it together for each request, and be what is measured.
  local post = wrk.format()
  request = function() return post end
end
