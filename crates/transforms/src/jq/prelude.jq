# Loops count their steps, so that a program without end is stopped.
def range($from; $to; $by): _range($from; $to; $by) | if _step then . else . end;
def repeat(f): def rec: (if _step then . else . end) | (., (f | rec)); rec;
def recurse(f): def rec: (if _step then . else . end) | (., (f | rec)); rec;
def while(cond; update): def rec: (if _step then . else . end) | if cond then ., (update | rec) else empty end; rec;
def until(cond; update): def rec: (if _step then . else . end) | if cond then . else update | rec end; rec;
