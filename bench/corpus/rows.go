//go:build linux

package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"time"
)

// Shapes of the database: 5 million accounts and 1 million events at scale 1, about 1 GB as a plain dump.
const (
	accountsPerBranch = 100_000
	tellersPerBranch  = 10
	fullBranches      = 50
	fullEvents        = 1_000_000
	fullTransactions  = 35_000
)

func words() []string {
	return []string{"account", "after", "batch", "before", "cache", "checkout", "client", "closed", "commit", "connection", "customer", "declined",
		"delivery", "email", "expired", "failed", "gateway", "invoice", "item", "job", "late", "limit", "missing", "network", "order", "partial",
		"payment", "pending", "queue", "refund", "region", "reply", "request", "retry", "session", "shipped", "stock", "timeout", "token", "warehouse"}
}

func kinds() []string {
	return []string{"login", "order.created", "order.paid", "page.view", "search", "cart.add", "cart.remove", "refund", "email.sent"}
}

func agents() []string {
	return []string{"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
		"curl/8.14.1", "shop-android/4.12.0 (API 35)"}
}

// rowMaker makes rows in the text form of PostgreSQL's COPY. It is not safe for concurrent use.
type rowMaker struct {
	rng                  *rand.Rand
	words, kinds, agents []string
	when                 time.Time
}

// epoch is the moment at which the corpus's first day begins.
func epoch() time.Time { return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC) }

func newRowMaker(rng *rand.Rand) *rowMaker {
	return &rowMaker{rng: rng, words: words(), kinds: kinds(), agents: agents(), when: epoch()}
}

func (r *rowMaker) pick(from []string) string { return from[r.rng.IntN(len(from))] }

// appendEvent appends one line of table events: id, at, account, kind, payload, note. The payload has its keys in jsonb's own
// order (by length, then bytes), so PostgreSQL prints it as it is here.
func (r *rowMaker) appendEvent(p []byte, id, accounts int) []byte {
	r.when = r.when.Add(time.Duration(r.rng.IntN(90)) * time.Millisecond)
	p = strconv.AppendInt(p, int64(id), 10)
	p = append(p, '\t')
	p = r.when.AppendFormat(p, "2006-01-02 15:04:05.999999")
	p = append(p, '\t')
	p = strconv.AppendInt(p, int64(r.rng.IntN(accounts)+1), 10)
	p = append(p, '\t')
	p = append(p, r.pick(r.kinds)...)
	p = append(p, '\t')
	p = r.appendPayload(p)
	p = append(p, '\t')
	p = r.appendText(p, 10+r.rng.IntN(28))
	return append(p, '\n')
}

func (r *rowMaker) appendPayload(p []byte) []byte {
	var random [32]byte
	for i := 0; i < len(random); i += 8 {
		binary.LittleEndian.PutUint64(random[i:], r.rng.Uint64())
	}
	p = append(p, `{"ip": "10.`...)
	p = strconv.AppendInt(p, int64(r.rng.IntN(16)), 10)
	p = append(p, '.')
	p = strconv.AppendInt(p, int64(r.rng.IntN(256)), 10)
	p = append(p, '.')
	p = strconv.AppendInt(p, int64(r.rng.IntN(254)+1), 10)
	p = append(p, `", "path": "/`...)
	p = append(p, r.pick(r.words)...)
	p = append(p, '/')
	p = strconv.AppendInt(p, int64(r.rng.IntN(100_000)), 10)
	p = append(p, `", "agent": "`...)
	p = append(p, r.pick(r.agents)...)
	p = append(p, `", "bytes": `...)
	p = strconv.AppendInt(p, int64(r.rng.IntN(60_000)), 10)
	p = append(p, `, "token": "`...)
	p = base64.RawURLEncoding.AppendEncode(p, random[16:])
	p = append(p, `", "trace": "`...)
	p = hex.AppendEncode(p, random[:16])
	p = append(p, `", "micros": `...)
	p = strconv.AppendInt(p, int64(r.rng.ExpFloat64()*9000), 10)
	p = append(p, `, "status": `...)
	p = strconv.AppendInt(p, int64(200+100*(r.rng.IntN(20)/17)+r.rng.IntN(5)), 10)
	return append(p, '}')
}

func (r *rowMaker) appendText(p []byte, n int) []byte {
	for i := range n {
		if i > 0 {
			p = append(p, ' ')
		}
		p = append(p, r.pick(r.words)...)
	}
	return p
}

// spaces84 is what pgbench fills its rows with.
const spaces84 = "                                                                                    "

// appendAccount appends one line of pgbench_accounts as pgbench makes it: aid, bid, abalance, 84 spaces.
func appendAccount(p []byte, aid, balance int) []byte {
	p = strconv.AppendInt(p, int64(aid), 10)
	p = append(p, '\t')
	p = strconv.AppendInt(p, int64((aid-1)/accountsPerBranch+1), 10)
	p = append(p, '\t')
	p = strconv.AppendInt(p, int64(balance), 10)
	p = append(p, '\t')
	return append(p, spaces84+"\n"...)
}

// appendLog appends one line as sshd, cron and a web application write them to syslog.
func (r *rowMaker) appendLog(p []byte) []byte {
	r.when = r.when.Add(time.Duration(r.rng.ExpFloat64() * float64(400*time.Millisecond)))
	p = r.when.AppendFormat(p, "2006-01-02T15:04:05.000000Z")
	switch r.rng.IntN(4) {
	case 0:
		p = append(p, " db1 sshd["...)
		p = strconv.AppendInt(p, int64(1000+r.rng.IntN(30_000)), 10)
		p = append(p, "]: Connection closed by authenticating user root 192.0.2."...)
		p = strconv.AppendInt(p, int64(r.rng.IntN(255)), 10)
		p = append(p, " port "...)
		p = strconv.AppendInt(p, int64(1024+r.rng.IntN(60_000)), 10)
		p = append(p, " [preauth]"...)
	case 1:
		p = append(p, " db1 CRON["...)
		p = strconv.AppendInt(p, int64(1000+r.rng.IntN(30_000)), 10)
		p = append(p, "]: (root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1)"...)
	default:
		p = append(p, " db1 shop["...)
		p = strconv.AppendInt(p, int64(1000+r.rng.IntN(8)), 10)
		p = append(p, "]: "...)
		p = append(p, r.pick(r.kinds)...)
		p = append(p, ' ')
		p = r.appendPayload(p)
	}
	return append(p, '\n')
}

// logBytes returns about size bytes of log lines that begin on the given day.
func logBytes(seed uint64, label string, day, size int) []byte {
	r := newRowMaker(dice(seed, label))
	r.when = epoch().AddDate(0, 0, day)
	p := make([]byte, 0, size+512)
	for len(p) < size {
		p = r.appendLog(p)
	}
	return p
}
