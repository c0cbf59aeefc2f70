package iscsi

// A textExchange is a text negotiation of the full feature phase while it goes
// on (RFC 7143, 11.10): its request may come in parts, and so may its answer.
type textExchange struct {
	request []byte
	answer  []byte // what is still to be sent
	tag     uint32 // target transfer tag of the exchange
	count   int    // requests of it
}

// textRequest takes a Text Request.
func (c *conn) textRequest(h *header) error {
	data, done, err := c.readData(h)
	if err != nil || done == nil {
		return err
	}
	defer done()
	if h.itt() == noTag {
		return c.reject(h, rejectInvalidField)
	}
	if !h.immediate() && !c.sess.admit(h.cmdSN()) {
		// one past a gap or outside the window: at ERL 0 on one connection no
		// honest initiator sends it
		c.log.Debug("text request out of order is ignored", "cmdsn", h.cmdSN())
		return nil
	}
	err = c.answerText(h, data)
	c.sess.deliverEarly()
	return err
}

// over says which limit the exchange passes by a request with n bytes.
func (x *textExchange) over(n int, l *Limits) limit {
	x.count++
	switch {
	case int64(len(x.request)+n) > l.Text:
		return limitText
	case x.count > l.TextPDUs:
		return limitTextPDUs
	}
	return limitNone
}

func (c *conn) answerText(h *header, data []byte) error {
	x := &c.text
	switch tag := h.u32(20); {
	case tag == noTag: // a new exchange ends the one before
		*x = textExchange{}
	case x.tag == 0 || tag != x.tag:
		return c.reject(h, rejectInvalidField)
	case len(x.answer) > 0:
		return c.sendText(h)
	}
	if by := x.over(len(data), c.srv.limits.Load()); by != limitNone {
		*x = textExchange{}
		c.overLimit(by, "text request refused")
		return c.reject(h, rejectLongOperation)
	}
	x.request = append(x.request, data...)
	if h.flags()&flagContinue != 0 {
		return c.sendText(h)
	}
	pairs, err := parseText(x.request)
	if err != nil {
		*x = textExchange{}
		return c.violation(h, "%w", err)
	}
	x.request = nil
	for _, kv := range pairs {
		x.answer = c.applyText(x.answer, kv)
	}
	return c.sendText(h)
}

// applyText answers one key of the full feature phase.
func (c *conn) applyText(b []byte, kv pair) []byte {
	if kv.name == "SendTargets" {
		return c.sendTargets(b, kv.value)
	}
	k := findKey(kv.name)
	switch {
	case k == nil:
		return appendPair(b, kv.name, notUnderstood)
	case k.loginOnly:
		return appendPair(b, kv.name, reject)
	}
	// maxRecv is read by tasks as they send
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if got := k.apply(&c.p, kv.value); got != "" {
		b = appendPair(b, kv.name, got)
	}
	return b
}

// sendTargets lists targets and their portals (RFC 7143, appendix C): all of
// them in a discovery session, its own in a normal one.
func (c *conn) sendTargets(b []byte, value string) []byte {
	switch {
	case value == "All" && !c.p.discovery:
		return appendPair(b, "SendTargets", reject)
	case value == "" && c.p.discovery:
		return appendPair(b, "SendTargets", reject)
	}
	for _, name := range c.srv.targetNames(c.sess.who) {
		switch {
		case value == "All", value == name && c.p.discovery, name == c.p.targetName && (value == "" || value == name):
		default:
			continue
		}
		b = appendPair(b, "TargetName", name)
		for _, a := range c.srv.portals(c) {
			b = appendPair(b, "TargetAddress", a.String())
		}
	}
	return b
}

// sendText sends as much of the answer as the initiator takes at once. With C
// set, or without a complete request, the exchange goes on under a tag: F and
// no tag, or a tag and no F (RFC 7143, 11.11.1).
func (c *conn) sendText(h *header) error {
	x := &c.text
	n := min(len(x.answer), c.p.maxRecv)
	more := n < len(x.answer)
	var r header
	r.start(opTextResp, 0)
	tag := uint32(noTag)
	switch {
	case more:
		r[1] |= flagContinue
		fallthrough
	case h.flags()&flagContinue != 0, !h.final():
		if x.tag == 0 {
			x.tag = c.nextTag()
		}
		tag = x.tag
	default:
		r[1] |= flagFinal
	}
	r.setLUN(h.lun())
	r.put32(16, h.itt())
	r.put32(20, tag)
	data := x.answer[:n]
	x.answer = x.answer[n:]
	return c.out.send(&r, statAdvance, data)
}
