package node

func (o *outerMethod) endSave(c *Core) {
	failed := o.saveErr != ""
	switch {
	case failed && o.phase == outerClosing:
		c.finish()
	case failed:
		o.saveAt = c.now + retrySave
	case o.phase == outerClosing:
		o.close(c)
	default:
		held := o.held
		o.held = nil
		for _, then := range held {
			then(c)
		}
	}
}

func (o *outerMethod) wake(c *Core) {
	if o.phase == outerClosing {
		return
	}
	if o.saveAt != 0 && c.now >= o.saveAt {
		o.saveAt = 0
		o.saveAgain(c, o.state())
	}
	if o.retryAt != 0 && c.now >= o.retryAt {
		o.retryAt, o.diverged = 0, 0
		if o.phase == outerDiverged {
			o.goOn(c)
		}
	}
	o.rearm(c)
}

// rearm lets the variant do what is due, and sets the alarm.
func (o *outerMethod) rearm(c *Core) {
	if o.phase == outerClosing {
		return
	}
	at := o.variant.wake(c)
	for _, t := range [...]Instant{o.saveAt, o.retryAt} {
		if t != 0 && (at == 0 || t < at) {
			at = t
		}
	}
	c.alarm(at)
}

func (o *outerMethod) paused(c *Core) {
	switch {
	case c.mode == running && o.phase == outerIdle:
		o.goOn(c)
	case c.mode == leaving:
		o.close(c)
	}
}

// close saves what is not saved and ends the core's work. What is under way is given up: it is less than a round.
func (o *outerMethod) close(c *Core) {
	o.phase = outerClosing
	if o.upkeep.close(c, o.state()) {
		c.finish()
	}
}

func (o *outerMethod) state() State {
	s := State{
		Round: o.round, Age: o.age, Step: o.step, Weight: 1, Params: o.anchor, Opt: o.opt,
		Numbers: o.numbers(), Vectors: o.vectors(),
	}
	if o.local != 0 {
		s.Vectors = append(s.Vectors, NamedVector{Name: "local", Vec: o.local, Len: o.run.Len})
	}
	return s
}

func (o *outerMethod) status() MethodStatus {
	s := MethodStatus{
		Phase: o.activity(), Round: o.round, Announced: o.round, Age: o.age, Step: o.step, Loss: o.lastLoss, InFlight: len(o.calls),
	}
	switch {
	case o.phase == outerIdle && o.rests():
		s.Phase = "paused"
	case o.phase == outerTraining:
		s.Phase = "training"
	case o.phase == outerDiverged:
		s.Phase = "waiting"
	case len(o.held) > 0:
		s.Phase = "saving"
	case o.phase == outerClosing:
		s.Phase = "leaving"
	}
	o.report(&s)
	return s
}
