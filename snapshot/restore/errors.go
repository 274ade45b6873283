package restore

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
)

var (
	// ErrUnread is the cause of damage where the source could not be read when it was backed up.
	ErrUnread = errors.New("it could not be read when it was backed up")
	// ErrMismatch is the cause of damage that verifying found: what was written reads back as something else.
	ErrMismatch = errors.New("it reads back as other data than was written")
	// ErrReplaced is the cause of failures for files and folders of the target that somebody else exchanged meanwhile.
	ErrReplaced = errors.New("somebody else replaced it meanwhile")
)

// DamageError reports a range that was not restored. In a new file it reads as zeros, in other targets it is left as it was.
type DamageError struct {
	Path string // of the target, as the caller named it, or in the tree
	Off  int64  // in bytes
	Len  int64  // in bytes; 0 if it is not known what is lost: of a folder, names
	Err  error  // such as a *repo.CorruptError or ErrUnread
}

// Error names the path, the range and the cause.
func (e *DamageError) Error() string {
	if e.Len == 0 {
		return fmt.Sprintf("%s: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("%s: bytes %d to %d: %v", e.Path, e.Off, e.Off+e.Len-1, e.Err)
}

// Unwrap returns the cause.
func (e *DamageError) Unwrap() error { return e.Err }

// SizeError reports a target that is too small. Nothing was written to it.
type SizeError struct {
	Path       string
	Have, Need int64 // bytes
}

// Error names the target and both sizes.
func (e *SizeError) Error() string {
	return fmt.Sprintf("%s is too small: it has %d bytes, %d are needed", e.Path, e.Have, e.Need)
}

// IncompleteError reports that some things were not restored; everything else was.
type IncompleteError struct {
	// Damages are the lost ranges, sorted by path and place: the first 1000 that were found.
	Damages []*DamageError
	// Failures are what the target refused, the first 1000: *fs.PathError and the like.
	Failures []error
	// Total counts both, with those not listed.
	Total int64
	// Lost is how many bytes of contents were not restored.
	Lost int64
}

// Error tells how much is missing, and the first example.
func (e *IncompleteError) Error() string {
	all := e.Unwrap()
	switch {
	case len(all) == 0:
		return "not everything was restored"
	case e.Total == 1:
		return fmt.Sprintf("not everything was restored: %v", all[0])
	}
	return fmt.Sprintf("not everything was restored: %d problems, %d bytes lost; the first: %v", e.Total, e.Lost, all[0])
}

// Unwrap returns all that is listed.
func (e *IncompleteError) Unwrap() []error {
	all := make([]error, 0, len(e.Damages)+len(e.Failures))
	for _, d := range e.Damages {
		all = append(all, d)
	}
	return append(all, e.Failures...)
}

// maxListed bounds each list of an IncompleteError.
const maxListed = 1000

// problems gathers what an IncompleteError tells. It is safe for concurrent use.
type problems struct {
	report func(Event)

	mu   sync.Mutex
	list IncompleteError
}

func (p *problems) damage(path string, off, n int64, err error) {
	d := &DamageError{Path: path, Off: off, Len: n, Err: err}
	p.mu.Lock()
	p.list.Total++
	p.list.Lost += n
	if len(p.list.Damages) < maxListed {
		p.list.Damages = append(p.list.Damages, d)
	}
	p.mu.Unlock()
	p.report(Event{Kind: EventError, Path: path, Err: d})
}

func (p *problems) failure(path string, err error) {
	p.mu.Lock()
	p.list.Total++
	if len(p.list.Failures) < maxListed {
		p.list.Failures = append(p.list.Failures, err)
	}
	p.mu.Unlock()
	p.report(Event{Kind: EventError, Path: path, Err: err})
}

// listed reports whether the whole range is listed as damaged.
func (p *problems) listed(path string, off, n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.list.Damages {
		if d.Path == path && d.Off <= off && off+n <= d.Off+d.Len {
			return true
		}
	}
	return false
}

// err returns an *IncompleteError, or nil if there was no problem.
func (p *problems) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list.Total == 0 {
		return nil
	}
	e := p.list
	e.Damages = slices.Clone(e.Damages)
	slices.SortFunc(e.Damages, func(a, b *DamageError) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Off, b.Off))
	})
	return &e
}
