//go:build linux

package main

import (
	"math"
	"slices"
)

// spread is a median and the least and greatest of some values. Of none, all are NaN.
type spread struct{ median, least, most float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{math.NaN(), math.NaN(), math.NaN()}
	}
	v := slices.Sorted(slices.Values(values))
	m := v[len(v)/2]
	if len(v)%2 == 0 {
		m = (v[len(v)/2-1] + m) / 2
	}
	return spread{m, v[0], v[len(v)-1]}
}

func (s spread) valid() bool { return !math.IsNaN(s.median) }

// sample is one run of one step by one program.
type sample struct {
	Step  string `json:"step"`
	Peer  string `json:"peer"`
	Round int    `json:"round"`
	usage
	// Added is what the repository grew by, Repository its size, in bytes.
	Added      int64 `json:"added"`
	Repository int64 `json:"repository"`
}

// samples are many runs.
type samples []sample

// values returns one value of each run of a step by a peer.
func (s samples) values(step, peer string, of func(*sample) float64) []float64 {
	var out []float64
	for i := range s {
		if s[i].Step == step && s[i].Peer == peer {
			out = append(out, of(&s[i]))
		}
	}
	return out
}

// ratios returns a's value divided by b's for every round in which both ran the step, where b's is not 0.
func (s samples) ratios(step, a, b string, of func(*sample) float64) []float64 {
	var out []float64
	for i := range s {
		for j := range s {
			if s[i].Step != step || s[j].Step != step || s[i].Peer != a || s[j].Peer != b || s[i].Round != s[j].Round {
				continue
			}
			if d := of(&s[j]); d != 0 {
				out = append(out, of(&s[i])/d)
			}
		}
	}
	return out
}

func seconds(s *sample) float64 { return s.Seconds }
func added(s *sample) float64   { return float64(s.Added) }

// storing returns the steps for which it makes sense to compare what was added.
func storing(steps []step) []step {
	return slices.DeleteFunc(slices.Clone(steps), func(s step) bool { return !s.stores() })
}
