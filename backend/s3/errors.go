package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/holdfast-backup/holdfast/backend"
)

// status returns the status of the reply that an error tells of; 0 if there was none.
func status(err error) int {
	if r, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return r.HTTPStatusCode()
	}
	return 0
}

func code(err error) string {
	if a, ok := errors.AsType[smithy.APIError](err); ok {
		return a.ErrorCode()
	}
	return ""
}

// serverError is what the server said, in one line, and what it means.
type serverError struct {
	text  string
	means error // nil: nothing in particular
	err   error
}

// Error says it.
func (e *serverError) Error() string { return e.text }

// Unwrap returns the meaning and what the SDK said.
func (e *serverError) Unwrap() []error {
	if e.means == nil {
		return []error{e.err}
	}
	return []error{e.means, e.err}
}

// said returns what the server said.
func said(err error) error {
	if _, cause, ok := strings.Cut(err.Error(), "get credentials: "); ok { // of which the SDK has no type
		return &serverError{ErrNoCredentials.Error() + " (" + cause + ")", ErrNoCredentials, err}
	}
	a, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		if u, ok := errors.AsType[*url.Error](err); ok { // no reply
			return &serverError{u.Err.Error(), nil, err}
		}
		if s := status(err); s >= 200 && s < 300 {
			return &serverError{"the server's reply broke off", nil, err}
		}
		if r, ok := errors.AsType[*awshttp.ResponseError](err); ok {
			return &serverError{fmt.Sprintf("the server says %s", http.StatusText(r.HTTPStatusCode())), meaning(err), err}
		}
		return err
	}
	text := fmt.Sprintf("the server says %s", a.ErrorCode())
	if m := a.ErrorMessage(); m != "" && m != a.ErrorCode() {
		text += ": " + m
	}
	return &serverError{text, meaning(err), err}
}

// meaning returns the error of package backend or the system that stands for what the server said.
func meaning(err error) error {
	switch code(err) {
	case "NoSuchBucket":
		return ErrNoBucket
	case "NoSuchKey", "NotFound":
		return fs.ErrNotExist
	case "ObjectParentIsFile", "ExistingObjectIsDirectory", "ObjectIsDirectory", "XMinioObjectExistsAsDirectory", "XMinioParentIsObject":
		return backend.ErrConflict
	case "XMinioStorageFull", "QuotaExceeded", "InsufficientStorage":
		return syscall.ENOSPC
	}
	switch status(err) {
	case http.StatusNotFound:
		if code(err) == "" { // what HEAD says
			return fs.ErrNotExist
		}
	case http.StatusForbidden, http.StatusUnauthorized:
		return fs.ErrPermission
	}
	return nil
}

// failed returns the error of a request for an object, as package backend wants it; nil for nil.
func failed(ctx context.Context, key string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err = fmt.Errorf("object %s: %w", key, said(err))
	if s := status(err); s >= 400 && s < 500 && s != http.StatusRequestTimeout && s != http.StatusTooManyRequests {
		return backend.Permanent(err)
	}
	return err
}

// repeatable judges what the SDK does not: a request whose body could not be read is not repeated, one whose reply broke off is.
func repeatable(err error) aws.Ternary {
	if _, ok := errors.AsType[*backend.SourceError](err); ok {
		return aws.FalseTernary
	}
	if s := status(err); s >= 200 && s < 300 && code(err) == "" {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}
