package rules

import "time"

type watcher struct{ rule *Rule }

func newWatcher(r *Rule, _ Numbers) Evaluator { return &watcher{rule: r} }

func (w *watcher) Observe(*Row) Judgement                           { return Judgement{} }
func (w *watcher) Tick(time.Time, bool) Judgement                   { return Judgement{} }
func (w *watcher) Evidence(*Evidence)                               {}
func (w *watcher) Snapshot(dst []byte) []byte                       { return dst }
func (w *watcher) Restore(int, []byte) error                        { return nil }
func (w *watcher) band(string) (low, normal, high float64, ok bool) { return 0, 0, 0, false }
