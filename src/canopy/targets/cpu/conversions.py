from __future__ import annotations
from typing import Any
import llvmlite.ir as ll
from canopy.ir.types import PointerType
from canopy.targets.cpu.llvm import constant, lanes_of
def llvm_type(e):
    if isinstance(e, PointerType): return ll.IntType(64)
    if e.kind!='float': return ll.IntType(e.bits)
    return {'f32':ll.FloatType(),'f64':ll.DoubleType(),'f16':ll.HalfType(),'bf16':ll.IntType(16)}.get(e.name, ll.IntType(8))
def memory_type(e):
    return ll.IntType(8) if getattr(e,'kind','')=='bool' else llvm_type(e)
def _v(t,n): return ll.VectorType(t,n) if n else t
def to_float(b,v,e):
    n=lanes_of(v)
    if e.name=='f16': return b.fpext(v,_v(ll.FloatType(),n))
    t=_v(ll.IntType(32),n)
    return b.bitcast(b.shl(b.zext(v,t),constant(t,16)),_v(ll.FloatType(),n))
def from_float(b,v,e,r='rtne'):
    n=lanes_of(v)
    if e.name=='f16': return b.fptrunc(v,_v(ll.HalfType(),n))
    t=_v(ll.IntType(32),n); x=b.bitcast(v,t)
    rb=b.add(constant(t,0x7fff),b.and_(b.lshr(x,constant(t,16)),constant(t,1)))
    return b.trunc(b.lshr(b.add(x,rb),constant(t,16)),_v(ll.IntType(16),n))
def cast(b,v,s,t,r='rtne'):
    n=lanes_of(v); T=_v(llvm_type(t),n)
    if s==t: return v
    if s.kind=='float':
        if s.bits<32: v=to_float(b,v,s); s2=32
        else: s2=s.bits
        if t.kind=='float':
            if t.bits<32:
                if s2==64: v=b.fptrunc(v,_v(ll.FloatType(),n))
                return from_float(b,v,t,r)
            return v if s2==t.bits else (b.fpext(v,T) if t.bits>s2 else b.fptrunc(v,T))
        if t.kind=='bool': return b.fcmp_unordered('!=',v,constant(v.type,0.0))
        return b.fptosi(v,T) if t.kind=='int' else b.fptoui(v,T)
    if t.kind=='float':
        f=_v(ll.FloatType() if t.bits<=32 else ll.DoubleType(),n)
        w=b.sitofp(v,f) if s.kind=='int' else b.uitofp(v,f)
        return from_float(b,w,t,r) if t.bits<32 else w
    if t.kind=='bool': return b.icmp_unsigned('!=',v,constant(v.type,0))
    if t.bits<s.bits: return b.trunc(v,T)
    if t.bits==s.bits: return v
    return b.sext(v,T) if s.kind=='int' else b.zext(v,T)
