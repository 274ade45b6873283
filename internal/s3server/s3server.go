// Package s3server runs a real S3 server for tests.
package s3server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Credentials of the server, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
const (
	AccessKey = "holdfast"
	SecretKey = "holdfast-secret"
	Region    = "us-east-1"
)

// ErrNotInstalled says that there is no versitygw: make deps installs it.
var ErrNotInstalled = errors.New("versitygw is not installed: make deps")

// Server is one that runs.
type Server struct {
	// URL is where it answers.
	URL string
	dir string
	cmd *exec.Cmd
}

// Start starts versitygw with empty folders. tools is the folder where make deps puts it; PATH is searched, too.
func Start(tools string) (*Server, error) {
	path := filepath.Join(tools, "versitygw")
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath("versitygw"); err != nil {
			return nil, ErrNotInstalled
		}
	}
	dir, err := os.MkdirTemp("", "holdfast-s3.")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	if err := s.start(path); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", path, err), s.Stop())
	}
	return s, nil
}

func (s *Server) start(path string) error {
	folder := func(name string) string { return filepath.Join(s.dir, name) }
	for _, name := range []string{"data", "versions", "iam"} {
		if err := os.Mkdir(folder(name), 0o700); err != nil {
			return err
		}
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	s.URL = "http://" + address
	s.cmd = exec.Command(path, "--port", address, "--quiet", "--iam-dir", folder("iam"), "posix", "--versioning-dir", folder("versions"), folder("data"))
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return err
	}
	for range 200 {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("nobody answers at %s", s.URL)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// Stop ends the server and removes what it kept.
func (s *Server) Stop() error {
	var err error
	if s.cmd != nil {
		err = s.cmd.Process.Kill()
		_ = s.cmd.Wait() // it was killed
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
