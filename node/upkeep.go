package node

import "math"

// upkeep is what every method does beside training: it saves checkpoints and has the model evaluated, every so many rounds, one of
// each at a time, and counts how often training has diverged.
type upkeep struct {
	saveEvery, evaluateEvery uint64

	saveJob JobID
	dirty   bool   // the newest finished round is not in a durable checkpoint
	saveErr string // why the newest checkpoint could not be written; empty if it could

	evalJob   JobID
	evalRound uint64 // of the model that evalJob looks at
	evalDone  uint64 // of the model in evaluated
	evaluated Evaluated

	diverged int // times in a row
}

// round saves and evaluates what a finished round has left, if it is time.
func (k *upkeep) round(c *Core, s State) {
	if s.Round%k.saveEvery == 0 && k.saveJob == 0 {
		k.save(c, s)
	}
	if k.evaluateEvery != 0 && s.Round%k.evaluateEvery == 0 && k.evalJob == 0 {
		k.evalJob, k.evalRound = c.newJob(), s.Round
		c.out.Evaluate = append(c.out.Evaluate, EvaluateJob{Job: k.evalJob, Params: s.Params})
	}
}

func (k *upkeep) save(c *Core, s State) {
	k.saveJob = c.newJob()
	k.dirty = false
	c.out.Save = append(c.out.Save, SaveJob{Job: k.saveJob, State: s})
}

// saved takes the end of a save, and reports whether it was the one under way. One that failed is to be tried again after
// [retrySave].
func (k *upkeep) saved(c *Core, ev Saved, round uint64) bool {
	if ev.Job != k.saveJob {
		return false
	}
	k.saveJob, k.saveErr = 0, ev.Err
	if ev.Err != "" {
		k.dirty = true
		c.observe(Stat{Kind: StatSaveError, Round: round, Text: ev.Err})
	} else {
		c.observe(Stat{Kind: StatSaved, Round: round})
	}
	return true
}

// saveAgain tries again to save what could not be saved.
func (k *upkeep) saveAgain(c *Core, s State) {
	if k.saveErr != "" && k.saveJob == 0 {
		k.save(c, s)
	}
}

// diverges reports whether local steps have to be undone because their loss is not finite, and, when that has happened often enough,
// whether to rest for [retryTrain] before the next ones.
func (k *upkeep) diverges(c *Core, loss float64, round uint64) (undo, rest bool) {
	if !math.IsNaN(loss) && !math.IsInf(loss, 0) {
		k.diverged = 0
		return false, false
	}
	k.diverged++
	c.observe(Stat{Kind: StatDiverged, Round: round, Value: loss})
	return true, k.diverged >= maxDiverged
}

// durable reports whether everything that was to be saved is: what others have heard of a node must not be more than one round
// ahead of what it would remember after a crash.
func (k *upkeep) durable() bool { return k.saveJob == 0 && k.saveErr == "" }

// seen takes the end of an evaluation.
func (k *upkeep) seen(c *Core, ev Evaluated) {
	if ev.Job == k.evalJob {
		k.evalJob, k.evalDone, k.evaluated = 0, k.evalRound, ev
		c.observe(Stat{Kind: StatEvaluated, Round: k.evalRound, Value: ev.Accuracy})
	}
}

// close saves what is not saved, and reports whether nothing is left to be saved.
func (k *upkeep) close(c *Core, s State) bool {
	if k.saveJob == 0 && k.dirty {
		k.save(c, s)
	}
	return k.saveJob == 0
}

// report fills in its part of a status.
func (k *upkeep) report(s *MethodStatus) {
	s.Accuracy, s.EvalLoss, s.EvaluatedAt, s.SaveError = k.evaluated.Accuracy, k.evaluated.Loss, k.evalDone, k.saveErr
}
