package watchfile

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"
)

// Measures of a chart, in units of its own.
const (
	chartWide = 860.0
	chartHigh = 150.0
	chartLeft = 64.0
	chartFoot = 20.0
	chartTop  = 8.0
)

// stretch is a part of a chart's time: an episode.
type stretch struct {
	from, to float64 // as place gives them
	number   int
	words    string
}

// chart draws one signal of one machine.
type chart struct {
	*trace
	timed     bool
	start     float64 // of the machine's rows
	end       float64
	low, high float64
}

// place is where a row stands on the axis: seconds, or rows where there is no time.
func place(timed bool, at time.Time, row int) float64 {
	if timed {
		return float64(at.UnixNano()) / 1e9
	}
	return float64(row)
}

func newChart(t *trace, r *recording, timed bool) *chart {
	c := &chart{trace: t, timed: timed, start: place(timed, r.from, 1), end: place(timed, r.to, r.rows)}
	c.low, c.high = math.Inf(1), math.Inf(-1)
	for i := range t.buckets {
		b := &t.buckets[i]
		c.low, c.high = math.Min(c.low, float64(b.low)), math.Max(c.high, float64(b.high))
	}
	// A band belongs into the picture unless it would make a line of the signal.
	span := c.high - c.low
	low, high := c.low, c.high
	for i := range t.buckets {
		if b := &t.buckets[i]; b.from == b.from {
			low, high = math.Min(low, math.Max(float64(b.from), c.low-span)), math.Max(high, math.Min(float64(b.upTo), c.high+span))
		}
	}
	c.low, c.high = low, high
	if !(c.high > c.low) {
		pad := math.Max(math.Abs(c.low)*0.01, 1e-6)
		c.low, c.high = c.low-pad, c.high+pad
	}
	return c
}

func (c *chart) x(at float64) float64 {
	if c.end <= c.start {
		return chartLeft
	}
	share := math.Max(0, math.Min(1, (at-c.start)/(c.end-c.start)))
	return chartLeft + share*(chartWide-chartLeft-6)
}

func (c *chart) y(v float64) float64 {
	share := math.Max(0, math.Min(1, (v-c.low)/(c.high-c.low)))
	return chartHigh - chartFoot - share*(chartHigh-chartFoot-chartTop)
}

func point(b *strings.Builder, x, y float64) {
	b.WriteString(strconv.FormatFloat(x, 'f', 1, 64) + "," + strconv.FormatFloat(y, 'f', 1, 64) + " ")
}

// svg draws the chart; label is what it shows, in words.
func (c *chart) svg(label string, episodes []stretch) template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, chartWide, chartHigh, template.HTMLEscapeString(label))
	c.episodes(&b, episodes)
	c.bands(&b)
	c.axes(&b)
	c.lines(&b)
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // numbers, and words that are escaped above
}

func (c *chart) episodes(b *strings.Builder, list []stretch) {
	for _, e := range list {
		x := c.x(e.from)
		fmt.Fprintf(b, `<g class="episode"><title>%s</title><rect x="%.1f" y="0" width="%.1f" height="%g"/><text x="%.1f" y="11">%d</text></g>`,
			template.HTMLEscapeString(e.words), x, math.Max(c.x(e.to)-x, 1.5), chartHigh-chartFoot, x+3, e.number)
	}
}

// bands draws the normal band, a step for each bucket that knows one.
func (c *chart) bands(b *strings.Builder) {
	for i := 0; i < len(c.buckets); i++ {
		if f := c.buckets[i].from; f != f {
			continue
		}
		first := i
		for i+1 < len(c.buckets) && c.buckets[i+1].from == c.buckets[first].from && c.buckets[i+1].upTo == c.buckets[first].upTo {
			i++
		}
		until := c.end
		if i+1 < len(c.buckets) {
			until = place(c.timed, c.buckets[i+1].at, c.buckets[i+1].row)
		}
		x, top := c.x(place(c.timed, c.buckets[first].at, c.buckets[first].row)), c.y(float64(c.buckets[first].upTo))
		fmt.Fprintf(b, `<rect class="band" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, x, top, c.x(until)-x, math.Max(c.y(float64(c.buckets[first].from))-top, 1))
	}
}

func (c *chart) axes(b *strings.Builder) {
	for _, v := range ticks(c.low, c.high, 3) {
		fmt.Fprintf(b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text class="tick" text-anchor="end" x="%g" y="%.1f">%s</text>`,
			chartLeft, chartWide, c.y(v), c.y(v), chartLeft-6, c.y(v)+4, figure(v))
	}
	const marks = 4
	for i := range marks + 1 {
		at := c.start + (c.end-c.start)*float64(i)/marks
		anchor := "middle"
		switch i {
		case 0:
			anchor = "start"
		case marks:
			anchor = "end"
		}
		fmt.Fprintf(b, `<text class="tick" text-anchor="%s" x="%.1f" y="%g">%s</text>`, anchor, c.x(at), chartHigh-5, c.mark(at))
	}
}

// mark writes a place on the axis, no finer than its length makes sense.
func (c *chart) mark(at float64) string {
	if !c.timed {
		return strconv.Itoa(int(math.Round(at)))
	}
	layout := "2006-01-02"
	switch span := c.end - c.start; {
	case span < 600:
		layout = "15:04:05"
	case span < 86400:
		layout = "15:04"
	case span < 10*86400:
		layout = "01-02 15:04"
	}
	return time.Unix(0, int64(at*1e9)).UTC().Format(layout)
}

// lines draws the mean of each bucket, and behind it all between least and greatest.
func (c *chart) lines(b *strings.Builder) {
	var mean, below strings.Builder
	b.WriteString(`<polygon class="range" points="`)
	for i := range c.buckets {
		k := &c.buckets[i]
		x := c.x(place(c.timed, k.at, k.row))
		point(b, x, c.y(float64(k.high)))
		point(&mean, x, c.y(k.mean()))
	}
	for i := len(c.buckets) - 1; i >= 0; i-- {
		k := &c.buckets[i]
		point(&below, c.x(place(c.timed, k.at, k.row)), c.y(float64(k.low)))
	}
	b.WriteString(below.String() + `"/><polyline class="mean" points="` + mean.String() + `"/>`)
}

// ticks are about n round numbers between two.
func ticks(low, high float64, n int) (list []float64) {
	power := math.Pow(10, math.Floor(math.Log10((high-low)/float64(n))))
	step := power
	for _, f := range []float64{2, 5, 10} {
		if (high-low)/step > float64(n)+1 {
			step = power * f
		}
	}
	if !(step > 0) || step-step != 0 {
		return nil
	}
	for v := math.Ceil(low/step) * step; v <= high && len(list) < 2*n+2; v += step {
		list = append(list, math.Round(v/step)*step)
	}
	return list
}

func figure(v float64) string { return strconv.FormatFloat(v, 'g', 5, 64) }
