package silence

import "slices"

// Peers are the machines of one group, a site or a gateway, at one tick, by their
// newest words.
type Peers struct{ quiet, all []int64 }

// Add takes a machine that is not known to be at rest; quiet = it has said nothing
// for longer than it usually does.
func (p *Peers) Add(last int64, quiet bool) {
	p.all = append(p.all, last)
	if quiet {
		p.quiet = append(p.quiet, last)
	}
}

// Sort is called once after the last Add.
func (p *Peers) Sort() {
	slices.Sort(p.quiet)
	slices.Sort(p.all)
}

// around counts who fell silent within a window of an instant, the asker included,
// and who has spoken since.
func (p *Peers) around(since, window int64) (silent, speaking int) {
	from, _ := slices.BinarySearch(p.quiet, since-window)
	to, _ := slices.BinarySearch(p.quiet, since+window+1)
	later, _ := slices.BinarySearch(p.all, since+window+1)
	return to - from, len(p.all) - later
}

// Of says whether a group fell silent together. Behind a gateway nobody may speak
// any more; at a site, where machines come and go, most must have worked and stopped.
func (p *Peers) Of(kind Together, since, window int64) Together {
	silent, speaking := p.around(since, window)
	switch {
	case kind == Gateway && silent >= 2 && speaking == 0:
		return Gateway
	case kind == Site && silent >= 3 && 4*speaking <= silent:
		return Site
	}
	return Alone
}
