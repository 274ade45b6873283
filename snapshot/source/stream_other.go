//go:build !linux && !darwin && !freebsd

package source

// waitOutside has no way to wait for files here.
func (s *reader) waitOutside() {}
