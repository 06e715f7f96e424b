-- A check of one text, over and over. Any answer but 200 is told at the end.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"input": "' .. os.getenv("TEXT") .. '"}'
