//go:build linux

package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// The chart's measures, in pixels.
const (
	chartWidth = 900
	labelWidth = 250
	panelWidth = 300
	panelGap   = 25
	barHeight  = 11
	stepGap    = 9
	headHeight = 64
	scaleTo    = 1.25 // the ratio at a panel's right end
)

// colors are told apart by most eyes, on white and on black.
var colors = map[string]string{"restic": "#4477aa", "kopia": "#ee6677", "borg": "#228833", "plakar": "#ccbb44", "desync": "#aa3377"}

// panel is one of the chart's two columns.
type panel struct {
	title string
	of    func(*sample) float64
	left  float64
	// stored says that only steps that store something have bars here.
	stored bool
}

// chart draws Holdfast's share of each peer's time and of its stored bytes, for each step, as an SVG image that suits light and dark pages.
func chart(r *report) []byte {
	panels := []panel{{"of the time", seconds, labelWidth, false}, {"of the stored bytes", added, labelWidth + panelWidth + panelGap, true}}
	var body bytes.Buffer
	y := float64(headHeight)
	for _, st := range r.steps() {
		height := 0.0
		for _, p := range panels {
			if p.stored && !st.stores() {
				continue
			}
			height = max(height, p.bars(&body, r, &st, y))
		}
		if height == 0 {
			continue
		}
		text(&body, labelWidth-10, y+height/2+4, "end", "t", st.title)
		y += height + stepGap
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%.0f" viewBox="0 0 %d %.0f" role="img" font-family="system-ui,sans-serif" font-size="12">`+"\n",
		chartWidth, y+8, chartWidth, y+8)
	b.WriteString("<title>Holdfast's share of what other programs need</title>\n")
	b.WriteString("<style>.t{fill:#24292f}.s{fill:#57606a;font-size:10px}.l{stroke:#8c959f;stroke-dasharray:3 3}.w{stroke:#8c959f}" +
		"@media(prefers-color-scheme:dark){.t{fill:#e6edf3}.s{fill:#9da7b3}}</style>\n")
	legend(&b, r)
	for _, p := range panels {
		p.frame(&b, y)
	}
	b.Write(body.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// at is where a ratio lies.
func (p *panel) at(ratio float64) float64 { return p.left + min(ratio, scaleTo)/scaleTo*panelWidth }

// frame draws the title and the line where a peer would be as good.
func (p *panel) frame(b *bytes.Buffer, bottom float64) {
	text(b, p.left, headHeight-10, "start", "t", p.title)
	text(b, p.at(1), headHeight-10, "middle", "s", "equal")
	fmt.Fprintf(b, `<line class="l" x1="%.1f" y1="%d" x2="%.1f" y2="%.1f"/>`+"\n", p.at(1), headHeight-6, p.at(1), bottom)
}

// bars draws a bar for each peer with a ratio, and returns how high they are together.
func (p *panel) bars(b *bytes.Buffer, r *report, st *step, y float64) float64 {
	height := 0.0
	for _, peer := range r.Peers {
		s := spreadOf(r.Samples.ratios(st.name, us, peer.Name, p.of))
		if peer.Name == us || !s.valid() || s.median <= 0 {
			continue
		}
		fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s"/>`+"\n", p.left, y+height, p.at(s.median)-p.left, barHeight-2, colors[peer.Name])
		if s.least != s.most {
			fmt.Fprintf(b, `<line class="w" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`+"\n", p.at(s.least), y+height+4.5, p.at(s.most), y+height+4.5)
		}
		text(b, p.at(max(s.median, s.most))+4, y+height+8.5, "start", "s", fmt.Sprintf("%.2f", s.median))
		height += barHeight
	}
	return height
}

func legend(b *bytes.Buffer, r *report) {
	text(b, labelWidth-10, 21, "end", "t", "Holdfast's share of what is needed by")
	x := float64(labelWidth)
	for _, peer := range r.Peers {
		if peer.Name == us {
			continue
		}
		fmt.Fprintf(b, `<rect x="%.1f" y="12" width="10" height="10" fill="%s"/>`+"\n", x, colors[peer.Name])
		text(b, x+15, 21, "start", "t", peer.Name)
		x += 90
	}
}

// text writes one line of text.
func text(b *bytes.Buffer, x, y float64, anchor, class, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">`, x, y, anchor, class)
	_ = xml.EscapeText(b, []byte(s)) // a buffer takes everything
	b.WriteString("</text>\n")
}
