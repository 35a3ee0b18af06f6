// Structures, unions, switches, tables of functions, lambdas and constants in kernels.
#include <cstdio>
struct P { float v[4]; int n; __host__ __device__ float sum() const { float s=0; for(int i=0;i<n;i++) s+=v[i]; return s; } };
struct Big { double d[50]; int k; };
__global__ void byval(P p, float* o){ p.v[threadIdx.x&3]+=threadIdx.x; p.n = 1+(threadIdx.x&3); o[threadIdx.x]=p.sum(); }
__global__ void vec4(const float4* a, float4* b){ int i=threadIdx.x; float4 v=a[i]; v.x+=v.y; float4 w=make_float4(v.w,v.z,v.y,v.x); b[i]=w; }
__global__ void reint(float* a){ float4 v=reinterpret_cast<float4*>(a)[threadIdx.x]; reinterpret_cast<float4*>(a)[threadIdx.x]=make_float4(v.x*2,v.y*2,v.z*2,v.w*2); }
__global__ void bigcopy(Big* a, Big* b){ b[threadIdx.x]=a[threadIdx.x]; Big t=a[threadIdx.x]; t.k+=1; t.d[t.k%50]=7; b[threadIdx.x+8]=t; }
__global__ void locals(int* o,int n){ int a[100]; for(int i=0;i<n;i++) a[i]=i*threadIdx.x; int s=0; for(int i=n-1;i>=0;i-=2) s+=a[i]; o[threadIdx.x]=s; }
union U { float f; unsigned u; unsigned char c[4]; };
__global__ void pun(unsigned* o){ U u; u.f=1.0f+threadIdx.x; o[threadIdx.x]=u.u+u.c[3]; }
__global__ void sw(int* o){ int r; switch(threadIdx.x%7){case 0:r=5;break;case 1:r=9;case 2:r=11;break;case 5:r=1;break;default:r=-1;} o[threadIdx.x]=r; }
__device__ int f1(int x){return x+1;} __device__ int f2(int x){return x*3;}
typedef int (*fn)(int);
__global__ void fp(int*o,int which){ fn f= which? f1:f2; o[threadIdx.x]=f(threadIdx.x); }
__device__ fn tab[2]={f1,f2};
template<class F> __global__ void lam(F f,int*o){ o[threadIdx.x]=f(threadIdx.x); }
__constant__ int ct[4]={3,1,4,1}; __device__ float dv=2.5f; __device__ int cnt; static __device__ int sarr[3]={1,2,3};
__global__ void cst(float*o){ static const int tbl[8]={8,7,6,5,4,3,2,1}; o[threadIdx.x]=ct[threadIdx.x&3]+dv+sarr[threadIdx.x%3]+tbl[threadIdx.x&7]; if(threadIdx.x==0) cnt++; __syncthreads(); int*p=&cnt; atomicAdd(p,2);}
__global__ void bools(bool*b,const bool*c){ bool x=c[threadIdx.x]; b[threadIdx.x]=!x; __shared__ bool s[32]; s[threadIdx.x]=x; __syncthreads(); if(s[31-threadIdx.x]) b[threadIdx.x]=true; }
__global__ void cswitch(const char*s,int*o){ const char* digits="0123456789abcdef"; o[threadIdx.x]=digits[threadIdx.x&15]; }
int bad=0;
#define CHECK(c) if(!(c)){ printf("FAIL line %d\n",__LINE__); bad=1; }
int main(){ float*o; int*io; cudaMallocManaged(&o,1<<16); cudaMallocManaged(&io,1<<16);
 P p={{1,2,3,4},4}; byval<<<1,32>>>(p,o); CHECK(cudaDeviceSynchronize()==cudaSuccess); CHECK(o[0]==1 && o[5]==8 && o[3]==13);
 float4*a=(float4*)o,*b=a+64; for(int i=0;i<32;i++) a[i]=make_float4(i,i+1,i+2,i+3); vec4<<<1,32>>>(a,b); cudaDeviceSynchronize(); CHECK(b[3].x==6&&b[3].w==7);
 reint<<<1,32>>>(o); cudaDeviceSynchronize(); CHECK(o[5*4+2]==14);
 Big* g; cudaMallocManaged(&g,sizeof(Big)*16); for(int i=0;i<8;i++){g[i].k=i; for(int j=0;j<50;j++) g[i].d[j]=i+j*.5;} bigcopy<<<1,8>>>(g,g); cudaDeviceSynchronize(); CHECK(g[8+3].k==4&&g[11].d[4]==7&&g[11].d[49]==3+24.5);
 locals<<<1,32>>>(io,10); cudaDeviceSynchronize(); CHECK(io[2]==50);
 pun<<<1,32>>>((unsigned*)io); cudaDeviceSynchronize(); CHECK(io[0]==0x3f800000+0x3f);
 sw<<<1,32>>>(io); cudaDeviceSynchronize(); CHECK(io[0]==5&&io[1]==11&&io[2]==11&&io[3]==-1&&io[5]==1);
 fp<<<1,32>>>(io,1); cudaDeviceSynchronize(); CHECK(io[4]==5); fp<<<1,32>>>(io,0); cudaDeviceSynchronize(); CHECK(io[4]==12);
 int k=7; lam<<<1,32>>>([=]__device__(int x){return x*k;},io); cudaDeviceSynchronize(); CHECK(io[3]==21);
 cst<<<1,32>>>(o); cudaDeviceSynchronize(); CHECK(o[2]==4+2.5f+3+6); int hc; cudaMemcpyFromSymbol(&hc,cnt,4); CHECK(hc==65);
 bool*bb=(bool*)io,*bc=bb+64; for(int i=0;i<32;i++) bc[i]=i<5; bools<<<1,32>>>(bb,bc); cudaDeviceSynchronize(); CHECK(!bb[0]&&bb[7]&&bb[31]);
 cswitch<<<1,32>>>("",io); cudaDeviceSynchronize(); CHECK(io[11]=='b');
 if(!bad) printf("PASS\n"); return bad; }
