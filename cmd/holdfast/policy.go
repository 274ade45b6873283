package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/pflag"

	"github.com/holdfast-backup/holdfast/snapshot"
	"github.com/holdfast-backup/holdfast/snapshot/retention"
)

// policyFlags say what forget keeps.
type policyFlags struct {
	policy retention.Policy
	tags   []string
	file   string
}

func (f *policyFlags) register(s *pflag.FlagSet) {
	p := &f.policy
	s.VarP(&countFlag{&p.Last}, "keep-last", "l", "keep the last `n` snapshots ('unlimited': all)")
	s.VarP(&countFlag{&p.Hourly}, "keep-hourly", "H", "keep the newest snapshot of each of the last `n` hours that have any")
	s.VarP(&countFlag{&p.Daily}, "keep-daily", "d", "keep the newest snapshot of each of the last `n` days that have any")
	s.VarP(&countFlag{&p.Weekly}, "keep-weekly", "w", "keep the newest snapshot of each of the last `n` weeks that have any")
	s.VarP(&countFlag{&p.Monthly}, "keep-monthly", "m", "keep the newest snapshot of each of the last `n` months that have any")
	s.VarP(&countFlag{&p.Yearly}, "keep-yearly", "y", "keep the newest snapshot of each of the last `n` years that have any")
	s.Var(&durationFlag{&p.Within}, "keep-within", "keep snapshots made within a `time` before the newest, such as 1y5m7d2h")
	s.Var(&durationFlag{&p.WithinHourly}, "keep-within-hourly", "keep the newest snapshot of each hour within a `time` before the newest")
	s.Var(&durationFlag{&p.WithinDaily}, "keep-within-daily", "keep the newest snapshot of each day within a `time` before the newest")
	s.Var(&durationFlag{&p.WithinWeekly}, "keep-within-weekly", "keep the newest snapshot of each week within a `time` before the newest")
	s.Var(&durationFlag{&p.WithinMonthly}, "keep-within-monthly", "keep the newest snapshot of each month within a `time` before the newest")
	s.Var(&durationFlag{&p.WithinYearly}, "keep-within-yearly", "keep the newest snapshot of each year within a `time` before the newest")
	s.StringArrayVar(&f.tags, "keep-tag", nil, "keep snapshots with all of these `tags`, separated by commas (repeatable: any of them)")
	s.StringVar(&f.file, "policy-file", "", "read what to keep, for each retention class, from this TOML `file`")
}

// policies returns what the flags or the policy file say.
func (f *policyFlags) policies() (*snapshot.Policies, error) {
	for _, t := range f.tags {
		f.policy.Tags = append(f.policy.Tags, splitTags(t))
	}
	if err := f.policy.Validate(); err != nil {
		return nil, usagef("%w", err)
	}
	if f.file == "" {
		return &snapshot.Policies{Default: f.policy}, nil
	}
	if !f.policy.Empty() {
		return nil, usagef("--policy-file excludes the --keep-* flags: put everything into the file")
	}
	return readPolicies(f.file)
}

// policyFile is the form of a policy file.
type policyFile struct {
	Default policyRules            `toml:"default"`
	Class   map[string]policyRules `toml:"class"`
}

// policyRules are the rules for one retention class, named as the flags are.
type policyRules struct {
	Last          int                `toml:"keep-last"`
	Hourly        int                `toml:"keep-hourly"`
	Daily         int                `toml:"keep-daily"`
	Weekly        int                `toml:"keep-weekly"`
	Monthly       int                `toml:"keep-monthly"`
	Yearly        int                `toml:"keep-yearly"`
	Within        retention.Duration `toml:"keep-within"`
	WithinHourly  retention.Duration `toml:"keep-within-hourly"`
	WithinDaily   retention.Duration `toml:"keep-within-daily"`
	WithinWeekly  retention.Duration `toml:"keep-within-weekly"`
	WithinMonthly retention.Duration `toml:"keep-within-monthly"`
	WithinYearly  retention.Duration `toml:"keep-within-yearly"`
	Tags          [][]string         `toml:"keep-tag"`
}

// maxPolicyFile bounds policy files in bytes.
const maxPolicyFile = 1 << 20

func readPolicies(path string) (*snapshot.Policies, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("policy file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPolicyFile+1))
	if err == nil && len(b) > maxPolicyFile {
		err = fmt.Errorf("it has more than %d bytes", maxPolicyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("policy file %s: %w", path, err)
	}
	p, err := parsePolicies(b)
	if err != nil {
		return nil, fmt.Errorf("policy file %s: %w", path, err)
	}
	return p, nil
}

func parsePolicies(b []byte) (*snapshot.Policies, error) {
	var file policyFile
	if err := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields().Decode(&file); err != nil {
		return nil, tomlError(err)
	}
	p := &snapshot.Policies{Default: retention.Policy(file.Default), Classes: map[string]retention.Policy{}}
	if err := p.Default.Validate(); err != nil {
		return nil, fmt.Errorf("[default]: %w", err)
	}
	for name, rules := range file.Class {
		c := retention.Policy(rules)
		err := c.Validate()
		if err == nil && (name == "" || c.Empty()) {
			err = errors.New("a class needs a name and at least one rule")
		}
		if err != nil {
			return nil, fmt.Errorf("[class.%s]: %w", name, err)
		}
		p.Classes[name] = c
	}
	return p, nil
}

// tomlError says where in the file an error is.
func tomlError(err error) error {
	if unknown, ok := errors.AsType[*toml.StrictMissingError](err); ok && len(unknown.Errors) > 0 {
		row, _ := unknown.Errors[0].Position()
		return fmt.Errorf("line %d: unknown key %q", row, strings.Join(unknown.Errors[0].Key(), "."))
	}
	if bad, ok := errors.AsType[*toml.DecodeError](err); ok {
		row, _ := bad.Position()
		return fmt.Errorf("line %d: %w", row, err)
	}
	return err
}

// countFlag is a number of snapshots.
type countFlag struct{ n *int }

func (c *countFlag) String() string {
	switch {
	case c.n == nil || *c.n == 0:
		return ""
	case *c.n == retention.Unlimited:
		return "unlimited"
	}
	return strconv.Itoa(*c.n)
}

func (c *countFlag) Set(s string) error {
	if s == "unlimited" {
		*c.n = retention.Unlimited
		return nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return errors.New("give a number, or 'unlimited'")
	}
	*c.n = int(n)
	return nil
}

func (c *countFlag) Type() string { return "n" }

// durationFlag is a span of the calendar.
type durationFlag struct{ d *retention.Duration }

func (f *durationFlag) String() string {
	if f.d == nil || f.d.IsZero() {
		return ""
	}
	return f.d.String()
}

func (f *durationFlag) Set(s string) error { return f.d.UnmarshalText([]byte(s)) }
func (f *durationFlag) Type() string       { return "time" }
