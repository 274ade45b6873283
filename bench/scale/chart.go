package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// point is a size and what it costs.
type point struct{ x, y float64 }

// curve is one line of a panel.
type curve struct {
	name   string
	points []point
}

// panel is a diagram with logarithmic axes.
type panel struct {
	title, unit string
	curves      []curve
}

// Sizes in a chart, in pixels.
const (
	panelWidth, panelHeight       = 400, 300
	left, right, top, bottom      = 56, 120, 30, 40
	plotWidth, plotHeight         = panelWidth - left - right, panelHeight - top - bottom
	axisStyle, gridStyle, palette = `stroke="#888"`, `stroke="#ddd"`, "#1668b8#c0392b#2e8b57#8e44ad#d68910"
)

// chart draws all results as an SVG document.
func (r *results) chart() []byte {
	panels := []panel{
		{title: "Index: time, by chunks", unit: "s", curves: make([]curve, 2)},
		{title: "Index: a lookup, hot, by chunks", unit: "ns", curves: make([]curve, 4)},
		{title: "Ledger: time, by entries", unit: "s", curves: make([]curve, 4)},
		{title: "Content map: a lookup, by GiB of disk", unit: "µs", curves: make([]curve, 1)},
	}
	add := func(p, c int, name string, x, y float64) {
		to := &panels[p].curves[c]
		to.name, to.points = name, append(to.points, point{x, y})
	}
	for _, x := range r.Index {
		n := float64(x.Chunks)
		add(0, 0, "cold open", n, x.Cold.Seconds)
		add(0, 1, "warm open", n, x.Warm.Open)
		add(1, 0, "miss", n, x.Warm.Miss)
		add(1, 1, "hit", n, x.Warm.Hit)
		add(1, 2, "locate", n, x.Warm.Locate)
		add(1, 3, "memory", n, x.Warm.Memory)
	}
	for _, x := range r.Ledger {
		n := float64(x.Entries)
		add(2, 0, "cold open", n, x.Cold)
		add(2, 1, "warm open", n, x.Warm)
		add(2, 2, "list", n, x.List)
		add(2, 3, "replay", n, x.Replay)
	}
	for _, x := range r.Disk {
		add(3, 0, "random offset", float64(x.GiB), x.Lookup)
	}
	return drawPanels(panels)
}

func drawPanels(panels []panel) []byte {
	var b bytes.Buffer
	rows := (len(panels) + 1) / 2
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", 2*panelWidth, rows*panelHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", 2*panelWidth, rows*panelHeight)
	for i := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%d,%d)">`+"\n", i%2*panelWidth, i/2*panelHeight)
		panels[i].draw(&b)
		fmt.Fprintln(&b, `</g>`)
	}
	fmt.Fprintln(&b, `</svg>`)
	return b.Bytes()
}

// draw draws a panel with its own origin.
func (p *panel) draw(b *bytes.Buffer) {
	low, high, any := p.bounds()
	if !any {
		return
	}
	place := func(q point) (x, y float64) {
		x = left + plotWidth*(math.Log10(q.x)-low.x)/(high.x-low.x)
		return x, top + plotHeight*(1-(math.Log10(q.y)-low.y)/(high.y-low.y))
	}
	fmt.Fprintf(b, `<text x="%d" y="18" font-weight="bold">%s</text>`+"\n", left, html.EscapeString(p.title+" ("+p.unit+")"))
	for e := low.x; e <= high.x; e++ {
		x, _ := place(point{math.Pow(10, e), 1})
		fmt.Fprintf(b, `<path d="M%.1f %d V%d" %s/><text x="%.1f" y="%d" text-anchor="middle">10^%.0f</text>`+"\n", x, top, top+plotHeight, gridStyle, x, top+plotHeight+16, e)
	}
	for e := low.y; e <= high.y; e++ {
		_, y := place(point{1, math.Pow(10, e)})
		fmt.Fprintf(b, `<path d="M%d %.1f H%d" %s/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", left, y, left+plotWidth, gridStyle, left-6, y+4, math.Pow(10, e))
	}
	fmt.Fprintf(b, `<path d="M%d %d V%d H%d" fill="none" %s/>`+"\n", left, top, top+plotHeight, left+plotWidth, axisStyle)
	for i, c := range p.curves {
		drawCurve(b, c, palette[7*i:7*i+7], place)
	}
}

func drawCurve(b *bytes.Buffer, c curve, colour string, place func(point) (x, y float64)) {
	var path bytes.Buffer
	var x, y float64
	for i, q := range c.points {
		x, y = place(q)
		fmt.Fprintf(&path, "%s%.1f %.1f ", map[bool]string{true: "M", false: "L"}[i == 0], x, y)
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x, y, colour)
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.5"/><text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n",
		path.Bytes(), colour, x+7, y+4, colour, html.EscapeString(c.name))
}

// bounds returns the whole powers of ten around all points, as exponents.
func (p *panel) bounds() (low, high point, any bool) {
	low, high = point{math.Inf(1), math.Inf(1)}, point{math.Inf(-1), math.Inf(-1)}
	for _, c := range p.curves {
		for _, q := range c.points {
			any = true
			low = point{min(low.x, math.Floor(math.Log10(q.x))), min(low.y, math.Floor(math.Log10(q.y)))}
			high = point{max(high.x, math.Ceil(math.Log10(q.x))), max(high.y, math.Ceil(math.Log10(q.y)))}
		}
	}
	high = point{max(high.x, low.x+1), max(high.y, low.y+1)}
	return low, high, any
}
