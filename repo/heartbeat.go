package repo

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/backend"
	"github.com/holdfast-backup/holdfast/repo/ledger"
)

// beatEvery is how often a session tells that it lives. A shorter one tells nothing but its OPEN.
const beatEvery = 15 * time.Second

const beatPrefix = "heartbeats/"

// beatKey returns the object key of heartbeat n of a session. Heartbeats are numbered, so that none is ever overwritten.
func beatKey(id ledger.SessionID, n uint64) string {
	return fmt.Sprintf("%s%s/%012d", beatPrefix, id, n)
}

// parseBeatKey returns the number of the heartbeat that key names.
func parseBeatKey(id ledger.SessionID, key string) (n uint64, ok bool) {
	digits, ok := strings.CutPrefix(key, beatPrefix+id.String()+"/")
	if !ok || len(digits) != 12 || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// startBeating tells every while that the session lives, until it ends, and notices when somebody else ended it. Nothing depends on heartbeats but who is
// waited for, so one that cannot be written is no failure.
func (s *Session) startBeating() {
	s.beating.Go(func() {
		ticker := time.NewTicker(beatEvery)
		defer ticker.Stop()
		failed := false
		for n := uint64(0); ; n++ {
			select {
			case <-ticker.C:
			case <-s.ctx.Done():
				return
			}
			if err := s.beat(n); err != nil && !failed && s.ctx.Err() == nil {
				failed = true
				s.repo.log.Warn("a heartbeat could not be written; a prune elsewhere may take this session for dead", "error", err)
			}
			if err := s.notice(); err != nil {
				s.fail(err)
				return
			}
		}
	})
}

// beat writes heartbeat n and removes the one before, as far as the store and the role permit.
func (s *Session) beat(n uint64) error {
	at := strconv.AppendInt(nil, s.repo.now().UnixNano(), 10)
	if err := backend.PutBytes(s.ctx, s.repo.store, beatKey(s.id, n), at, &backend.PutOptions{IfAbsent: true}); err != nil {
		return err
	}
	if n > 0 {
		_ = s.repo.store.Delete(s.ctx, beatKey(s.id, n-1)) // or a collection does it later
	}
	return nil
}

// notice returns an error if the ledger says that the session has ended. That it cannot be read now says nothing.
func (s *Session) notice() error {
	if s.repo.chain.advance(s.ctx) != nil {
		return nil
	}
	var end ledger.End
	s.repo.chain.view(func(st *ledger.State) {
		session, _ := st.Session(s.id)
		end = session.End
	})
	return endedBy(end)
}

// endedBy says that a session has ended, if it has.
func endedBy(end ledger.End) error {
	if end == ledger.Live {
		return nil
	}
	return fmt.Errorf("%w: it was %s by somebody else; run it again", ErrSessionEnded, end)
}

// lastBeat returns the number of the newest heartbeat of a session, -1 without one.
func (r *Repository) lastBeat(ctx context.Context, id ledger.SessionID) (last int64, err error) {
	last = -1
	for info, err := range r.store.List(ctx, beatPrefix+id.String()+"/") {
		if err != nil {
			return -1, fmt.Errorf("listing heartbeats: %w", err)
		}
		if n, ok := parseBeatKey(id, info.Key); ok {
			last = max(last, int64(n))
		}
	}
	return last, nil
}
